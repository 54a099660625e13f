"""Loads a model folder with MLflow and prints its predictions on fixed rows of the wine data as a JSON list.

    python predict.py MODEL_DIR
"""

import json
import logging
import os
import sys

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

from sklearn.datasets import load_wine


def sample():
    """Every fifteenth row: each of the three kinds of wine is among them."""
    return load_wine(as_frame=True).data.iloc[::15]


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: predict.py MODEL_DIR")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    model = mlflow.pyfunc.load_model(sys.argv[1])
    known = [column.name for column in model.metadata.get_input_schema()]
    print(json.dumps([int(kind) for kind in model.predict(sample()[known])]))


if __name__ == "__main__":
    main()
