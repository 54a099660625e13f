"""MLflow's registry client for Greenroom: `mlflow.set_registry_uri("greenroom:///path/to/registry")`.

Beside what MLflow's own client does, it copies the files of a model into the registry when a version is registered, with
the parameters and metrics of its run. Whoever may read the registry can load the model then, without the tracking server.
"""
