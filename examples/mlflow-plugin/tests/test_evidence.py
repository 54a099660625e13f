import math
import tempfile
import unittest

import mlflow

from mlflow_greenroom import evidence


class Evidence(unittest.TestCase):
    def test_the_latest_of_each_metric_is_collected(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            uri = f"sqlite:///{folder}/mlflow.db"
            client = mlflow.MlflowClient(tracking_uri=uri)
            experiment = client.create_experiment("e", artifact_location=f"{folder}/artifacts")
            run = client.create_run(experiment).info.run_id
            client.log_param(run, "C", 0.1)
            client.log_metric(run, "auc", 0.5, timestamp=1000, step=1)
            client.log_metric(run, "auc", 0.91, timestamp=2000, step=3)
            client.log_metric(run, "loss", math.nan, timestamp=1000, step=0)
            found = evidence.collect(uri, run, None)
        self.assertEqual(found["params"], [{"key": "C", "value": "0.1"}])
        auc = {"key": "auc", "value": 0.91, "step": 3, "timestamp": 2000}
        loss = {"key": "loss", "value": "NaN", "step": 0, "timestamp": 1000}
        self.assertEqual(found["metrics"], [auc, loss])

    def test_what_cannot_be_read_is_a_warning(self) -> None:
        with tempfile.TemporaryDirectory() as folder, self.assertLogs("mlflow_greenroom.evidence", "WARNING") as log:
            found = evidence.collect(f"sqlite:///{folder}/mlflow.db", "0" * 32, "m-" + "0" * 32)
        self.assertEqual(found, {"params": [], "metrics": []})
        self.assertEqual(len(log.records), 2)

    def test_numbers_that_json_has_no_word_for(self) -> None:
        self.assertEqual([evidence.number(n) for n in (1.5, math.inf, -math.inf)], [1.5, "Infinity", "-Infinity"])


if __name__ == "__main__":
    unittest.main()
