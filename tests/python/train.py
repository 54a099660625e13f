"""Trains two small models of the wine data and saves each as the model folder that MLflow writes.

    python train.py OUT [--recorded-uri URI]

OUT gets `mlflow.db` (the tracking store), `mlruns/` (its artifacts) and the folders `wine-v1` and
`wine-v2`. Standard output gets one JSON list with, for each model: `name`, `path`, `run_id`,
`model_id`, `params`, `metrics` and `predictions` (what predict.py must print for that folder).
`--recorded-uri file:///srv/mlflow` puts that in place of OUT's URI in the copied MLmodel, so that a
published folder does not name the machine that made it.
"""

import argparse
import json
import logging
import os
import shutil
import sys
import warnings
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from predict import sample

# Linear models only: MLflow saves scikit-learn models with skops, which does not trust trees.
MODELS = {
    "wine-v1": {"features": ["alcohol", "malic_acid", "ash"], "C": 0.05, "scaled": False},
    "wine-v2": {"features": ["alcohol", "malic_acid", "ash", "flavanoids", "hue"], "C": 1.0, "scaled": True},
}


def estimator(regularisation, scaled):
    linear = LogisticRegression(C=regularisation, max_iter=1000)
    return make_pipeline(StandardScaler(), linear) if scaled else linear


def scores(model, rows, truth):
    shares = model.predict_proba(rows)
    guess = model.predict(rows)
    return {
        "accuracy": round(float(accuracy_score(truth, guess)), 4),
        "f1_macro": round(float(f1_score(truth, guess, average="macro")), 4),
        "auc": round(float(roc_auc_score(truth, shares, multi_class="ovr")), 4),
        "log_loss": round(float(log_loss(truth, shares)), 4),
    }


def train(name, features, C, scaled, out):
    """One run with its parameters, metrics and logged model, whose files are copied to OUT/name."""
    data = load_wine(as_frame=True)
    rows, held_out, truth, held_out_truth = train_test_split(
        data.data[features], data.target, test_size=0.4, random_state=7, stratify=data.target
    )
    params = {"C": C, "scaled": scaled, "solver": "lbfgs", "features": len(features)}
    with mlflow.start_run(run_name=name) as run:
        model = estimator(C, scaled).fit(rows, truth)
        metrics = scores(model, held_out, held_out_truth)
        mlflow.log_params(params)
        mlflow.log_metrics(metrics)
        signature = mlflow.models.infer_signature(rows, model.predict(rows))
        info = mlflow.sklearn.log_model(model, name="wine", signature=signature, input_example=rows.head(2))
    logged = mlflow.artifacts.download_artifacts(artifact_uri=info.model_uri)
    shutil.copytree(logged, out / name, ignore=shutil.ignore_patterns("registered_model_meta"))
    return {
        "name": name,
        "path": str(out / name),
        "run_id": run.info.run_id,
        "model_id": info.model_id,
        "params": {key: str(value) for key, value in params.items()},
        "metrics": metrics,
        "predictions": model.predict(sample()[features]).tolist(),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("out", type=Path, help="a folder that does not exist yet or is empty")
    arguments.add_argument("--recorded-uri", help="what to record in MLmodel in place of the URI of OUT")
    given = arguments.parse_args()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        sys.exit(f"{out} is not empty; name a new folder")

    warnings.simplefilter("ignore")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # A database, because MLflow's tracking in plain files is in maintenance mode and refuses to start.
    mlflow.set_tracking_uri(f"sqlite:///{out}/mlflow.db")
    mlflow.create_experiment("wine", artifact_location=(out / "mlruns" / "1").as_uri())
    mlflow.set_experiment("wine")

    trained = [train(name, out=out, **settings) for name, settings in MODELS.items()]
    if given.recorded_uri:
        for model in trained:
            mlmodel = Path(model["path"]) / "MLmodel"
            mlmodel.write_text(mlmodel.read_text().replace(out.as_uri(), given.recorded_uri.rstrip("/")))
    json.dump(trained, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
