import os
import unittest
from unittest import mock

from mlflow_greenroom.artifacts import GreenroomArtifactRepository
from mlflow_greenroom.credentials import credentials_for, local_credentials

TRACKING = {"MLFLOW_TRACKING_TOKEN": "tracking", "MLFLOW_TRACKING_INSECURE_TLS": "true"}


class Credentials(unittest.TestCase):
    @mock.patch.dict(os.environ, {**TRACKING, "GREENROOM_TOKEN": "registry"}, clear=True)
    def test_the_registrys_token_is_for_the_registry(self) -> None:
        found = credentials_for("https://host")
        self.assertEqual((found.token, found.username, found.ignore_tls_verification), ("registry", None, True))
        self.assertEqual(local_credentials("http://127.0.0.1:1").token, "registry")

    @mock.patch.dict(os.environ, TRACKING, clear=True)
    def test_without_one_mlflows_own_serve_a_remote_server(self) -> None:
        self.assertEqual(credentials_for("https://host").token, "tracking")
        self.assertIsNone(local_credentials("http://127.0.0.1:1").token)

    @mock.patch.dict(os.environ, {**TRACKING, "GREENROOM_TOKEN": "registry"}, clear=True)
    def test_downloads_go_with_the_registrys_token(self) -> None:
        uri = "greenroom+https://host/api/2.0/mlflow-artifacts/artifacts/models/x"
        repository = GreenroomArtifactRepository(uri)
        self.assertEqual(repository._host_creds.token, "registry")
        self.assertEqual(repository._host_creds.host, uri[len("greenroom+") :])


if __name__ == "__main__":
    unittest.main()
