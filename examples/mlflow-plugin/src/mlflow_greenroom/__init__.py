"""MLflow's registry client for Greenroom: `mlflow.set_registry_uri("greenroom:///path/to/registry")`.

When a version is registered, this client also copies the files of the model into the registry, with the parameters and
metrics of the model's run. Everyone who may read the registry can then load the model without the tracking server.
"""
