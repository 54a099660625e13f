import pathlib
import unittest

from mlflow.exceptions import MlflowException

from mlflow_greenroom.address import Address, parse


class Addresses(unittest.TestCase):
    def test_a_folder(self) -> None:
        self.assertEqual(parse("greenroom:///srv/registry"), Address(folder=pathlib.Path("/srv/registry")))
        self.assertEqual(parse("greenroom:/srv/a%20b"), Address(folder=pathlib.Path("/srv/a b")))

    def test_a_server(self) -> None:
        for uri, url in {
            "greenroom://registry.example.org": "https://registry.example.org",
            "greenroom://registry.example.org:8443/team/": "https://registry.example.org:8443/team",
            "greenroom://localhost:5050": "http://localhost:5050",
            "greenroom://[::1]:5050": "http://[::1]:5050",
            "greenroom+http://host:5050": "http://host:5050",
            "greenroom+https://127.0.0.1": "https://127.0.0.1",
        }.items():
            self.assertEqual(parse(uri), Address(url=url), uri)

    def test_anything_else_is_refused(self) -> None:
        for uri in [
            "http://host",
            "greenroom:",
            "greenroom:registry",
            "greenroom+http:///srv",
            "greenroom://alice:secret@host",
            "greenroom://host:port",
            "greenroom://host?x=1",
            "greenroom://host#x",
        ]:
            with self.assertRaises(MlflowException, msg=uri):
                parse(uri)


if __name__ == "__main__":
    unittest.main()
