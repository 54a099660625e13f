"""The calls of the differential test: random ones, mostly sound, often odd; and how they look on the wire."""

import base64
import json
from urllib.parse import quote_plus

PREFIXES = ["/api/2.0/mlflow/"] * 9 + ["/ajax-api/2.0/mlflow/"]

NAMES = [
    "churn", "wine quality", "Wine-2", "ünïcödé", "100%", "a%2Fb", "x.y", ".hidden", "名前", "🙂", "it's", 'say "hi"',
    " lead", "trail ", "a+b&c=d#e?f", "back\\slash", "CON", "_", "-rf", "~", "nul.txt", "a" * 200,
]
PROMPTS = ["greet", "summarise this", "übersetze"]
ODD_NAMES = [
    "", "  ", "a/b", "a:b", ".", "..", "../x", "a/../b", 5, 0, True, False, None, 1.5, ["churn"], {"name": "churn"}, "tab\tbed",
    "line\nfeed", "null\0", "esc\u001b[31m", "bidi\u202e", "zero\u200bwidth", "a" * 256, "a" * 257, "...", "..x", "CHURN",
    "n'est pas", [], {}, "./churn", "churn/", "\u00a0", "a/" * 100,
]
KEYS = ["k", "team", "a key", "a.b/c:d", "ключ", "mlflow.note", "_", "x" * 250, "K", "0"]
ODD_KEYS = ["a@b", "", "  ", "../x", "a//b", "/abs", ".", "x" * 251, 5, None, True, ["k"], {}, "k\n", "a\tb", "é!", "a/", "./k", "\u00a0k", "@" * 200]
VALUES = ["v", "", "1", "true", "ünï 'q' \"d\"", "line\nfeed\ttab", "100%", "a_b", "V", "x" * 900, " ", "🙂", "x' OR '1'='1"]
ODD_VALUES = [5, None, True, ["v"], {"v": 1}, 1.5, "x" * 100_000, "x" * 100_001, "null\0", "cr\r\nlf", "\u202e", "\x7f"]
TEXTS = ["", "What it is for", "ünï\n\ttab", "x" * 5001, " ", "Ω", "<script>alert(1)</script>"]
ODD_TEXTS = [5, None, True, ["x"], {}, "null\0", "cr\r\nlf", "x" * 100_001, "\u200b"]
STAGES = ["Production", "Staging", "Archived", "None", "production", "STAGING", "none", "aRCHIVED"]
ODD_STAGES = ["Prod", "", " Staging", "Staging ", 5, None, True, ["Staging"], "Deleted_Internal", "null\0", "  "]
ALIASES = ["champion", "prod-a", "x_1", "ä", "12", "Champion2", "a" * 255, "v", "v1x", "version1"]
ODD_ALIASES = ["latest", "Latest", "v1", "V2", "a b", "", "  ", "a" * 256, 5, None, True, ["a"], "a\n", "a.b", "a/b", "v\u0661", "LATEST", "v01"]
ODD_VERSIONS = [
    "99", "0", "-1", "01", " 1", "1 ", "1.0", "x", 1, 1.0, None, True, "", "  ", ["1"], {}, "1_0", "+1", "99999999999999999999",
    "1e3", "0x1", "１", "--1", "_1", "1\n", "²",
]
SOURCES = [
    "s3://bucket/model", "s3://bucket/a/b c", "gs://b/m", "dbfs:/models/x", "wasbs://c@a.blob.core.windows.net/m",
    "s3://bucket/ünï", "s3://bucket/100%25",
]
ODD_SOURCES = [
    "", None, 5, ["s3://b/m"], True, "  ", "/etc/passwd", "file:///etc/passwd", "file:/etc", "file://host/x", "file://\\..\\..\\etc", "s3://b/../c",
    "s3://b/%2e%2e/c", "s3://b/%252e%252e/c", "s3://b/a#/../x", "s3://b/a?x=../..", "s3://b/a;/../x", "http://h/x", "https://h/x",
    "ftp://h/x", "sftp://h/x", "hdfs://h/x", "mlflow-artifacts:/x", "mlflow-artifacts://h/x", "//proc/self", "..", "a/..", "./a",
    "s3://bucket", "s3://bucket/", "s3:bucket", "path/to", "models:/m-0123", "models:/", "models:/x", "models:/x/1/2",
    "runs:/abc/model", "runs:/", "s3://b/x\0y", "dummy-source", "S3://B/x", "models:/none/1", "abfss://c@a.dfs.core.windows.net/x",
    "r2://b/x", "b2://b/x", "viewfs://h/x", "unknown://h/x", "s3://b/a\nb", "dbfs:/../x", "dbfs://profile@databricks/x", "s3://b/..", "s3://b/a%00b", "",
]
SIZES = ["1", "2", "3", "5", "100", "1000"]
ODD_SIZES = ["0", "-1", "1001", "200000", "200001", "x", "1.5", "", " 2", "1e3", "99999999999999999999", "+2", "1_0", "0x10", "02"]
def token(text):
    return base64.b64encode(text.encode()).decode()


ODD_TOKENS = [
    "evilhax", "", token('{"offset": 0}'), token('{"offset": 1}'), token('{"offset": -1}'), token("{}"), token("notjson"),
    token('{"offset": "x"}'), token("[]"), "====", "a", token('{"offset": 99999}'), "!!!!", "null\0", "  ",
]


def tags_of(random, values=VALUES):
    return [{"key": random.choice(KEYS), "value": random.choice(values)} for _ in range(random.randrange(3))]


def names(call):
    """The model names that a call may have made."""
    body = call.get("body")
    if not isinstance(body, dict) or call["path"] not in ("registered-models/create", "registered-models/rename"):
        return set()
    found = [body.get(key) for key in ("name", "new_name", "newName")]
    return {name for name in found if isinstance(name, str) and name}


def encoded(call, token=None):
    """Path, headers and body of a call, with the token of another page than the first."""
    path = call.get("prefix", PREFIXES[0]) + call["path"]
    query = list(call.get("query", []))
    if token is not None:
        query = [pair for pair in query if pair[0] != "page_token"] + [["page_token", token]]
    if query:
        path += "?" + "&".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in query)
    headers = dict(call.get("headers", {}))
    body = None
    if "raw" in call:
        body = call["raw"].encode()
    elif "body" in call:
        body = json.dumps(call["body"]).encode()
        headers.setdefault("Content-Type", "application/json")
    if headers.get("Content-Type") == "":
        del headers["Content-Type"]
    return path, headers, body


class Maker:
    """Makes calls, guided by what is there."""

    def __init__(self, random, removals):
        self.random, self.removals = random, removals
        self.models = {}
        self.moved = None
        self.prompts = set()
        self.pool = random.sample(NAMES, 5) + [random.choice(PROMPTS)]
        # The more of a sequence is odd, the less is there to be odd about.
        self.oddness = random.choice([0, 0.02, 0.1, 0.3])

    def pick(self, sound, odd):
        return self.random.choice(odd) if self.random.random() < self.oddness else self.random.choice(sound)

    def name(self):
        """Mostly the name of a model that is there."""
        r = self.random.random()
        if r < self.oddness / 2:
            return self.random.choice(ODD_NAMES)
        if self.models and r < self.oddness * 0.6:
            return self.random.choice(sorted(self.models)).swapcase()
        if self.models and r < 0.93:
            return self.random.choice(sorted(self.models))
        return self.random.choice(self.pool)

    def version(self, name):
        versions = self.models.get(name, {}).get("versions") if isinstance(name, str) else None
        if versions and self.random.random() < 0.93 - self.oddness:
            return self.random.choice(sorted(versions))
        return self.random.choice(["1", "2", "3"] if self.random.random() < 0.5 else ODD_VERSIONS)

    def alias(self, name):
        there = self.models.get(name, {}).get("aliases") if isinstance(name, str) else None
        if there and self.random.random() < 0.6:
            return self.random.choice(sorted(there))
        return self.pick(ALIASES, ODD_ALIASES)

    def next(self):
        makers = [
            ([40, 20, 8, 4, 2, 1][min(len(self.models), 5)], self.create_model), (1, self.create_prompt), (12, self.create_version), (4, self.get_model),
            (3, self.update_model), (2 * self.removals, self.rename), (self.removals, self.delete_model), (4, self.get_version), (3, self.update_version),
            (2 * self.removals, self.delete_version), (9, self.transition), (4, self.model_tag), (5, self.version_tag), (4, self.set_alias), (3, self.get_alias),
            (2, self.delete_alias), (5, self.latest), (7, self.search_models), (7, self.search_versions), (3, self.download), (2, self.strange),
        ]
        make = self.random.choices([m for _, m in makers], [w for w, _ in makers])[0]
        if self.removals > 1 and self.moved and self.random.random() < 0.4:
            make = self.remove_moved
        call = make()
        if self.random.random() < 0.1:
            call["prefix"] = PREFIXES[-1]
        if self.random.random() < self.oddness / 4:
            self.twist(call)
        return call

    def twist(self, call):
        """Sends the same in another way: keys in camel case, without one, with unknown ones, by the other door."""
        body = call.get("body")
        way = self.random.randrange(7)
        if way == 0 and isinstance(body, dict) and body:
            del body[self.random.choice(sorted(body))]
        elif way == 1 and isinstance(body, dict):
            body["unknown"] = {"a": [1, None]}
        elif way == 2 and isinstance(body, dict):
            camel = {k: k.split("_")[0] + "".join(w.title() for w in k.split("_")[1:]) for k in body}
            call["body"] = {camel[k]: v for k, v in body.items()}
        elif way == 3 and call["verb"] == "DELETE" and isinstance(body, dict):
            call["query"] = [[k, v] for k, v in call.pop("body").items() if isinstance(v, str)]
        elif way == 4 and "body" in call:
            call["headers"] = {"Content-Type": self.random.choice(["text/plain", "", "application/json; charset=utf-8", "APPLICATION/JSON"])}
        elif way == 5 and isinstance(body, dict):
            call["raw"] = self.random.choice(["[]", "5", "null", '"x"', "{", "", json.dumps(json.dumps(body)), "true", "[{}]"])
            call["headers"] = {"Content-Type": "application/json"}
        elif way == 6 and call["verb"] == "GET" and call.get("query"):
            gone = self.random.choice(call["query"])[0]
            call["query"] = [q for q in call["query"] if q[0] != gone or gone == "order_by"]

    def post(self, path, body, verb="POST"):
        return {"verb": verb, "path": path, "body": body}

    def get(self, path, query, follow=False):
        text = lambda v: v if isinstance(v, str) else json.dumps(v)
        call = {"verb": "GET", "path": path, "query": [[k, text(v)] for k, v in query if v is not None]}
        return {**call, "follow": True} if follow else call

    def create_model(self):
        body = {"name": self.name() if self.random.random() < self.oddness else self.pick(self.pool, ODD_NAMES)}
        if self.random.random() < 0.4:
            body["description"] = self.pick(TEXTS, ODD_TEXTS)
        if self.random.random() < 0.4:
            body["tags"] = self.pick([tags_of(self.random)], [5, "x", {}, None, [5], [{"key": "a@b", "value": "v"}], [{"value": "v"}], [{"key": "k"}],
                [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}], [{"key": "", "value": ""}], [{"key": "k", "value": 5}], [None], [[]]])
        return self.post("registered-models/create", body)

    def create_prompt(self):
        name = self.random.choice(PROMPTS + self.pool[:2])
        tags = [{"key": "mlflow.prompt.is_prompt", "value": self.random.choice(["true", "true", "true", "false"])}]
        return self.post("registered-models/create", {"name": name, "tags": tags + tags_of(self.random)})

    def create_version(self):
        name = self.name()
        body = {"name": name, "source": self.pick(SOURCES, ODD_SOURCES)}
        if isinstance(name, str) and name in self.prompts:
            body["source"] = self.pick(["dummy-source", "prompt-template"], ODD_SOURCES)
            body["tags"] = [
                {"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "mlflow.prompt.text", "value": "Hello {{name}}"},
            ]
        elif self.random.random() < 0.15 and self.models:
            other = self.name()
            which = self.version(other) if self.random.random() < 0.6 else self.alias(other)
            between = "@" if self.random.random() < 0.3 else "/"
            body["source"] = f"models:/{other}{between}{which}"
        elif self.random.random() < 0.3:
            body["tags"] = tags_of(self.random)
        for key in ("run_id", "run_link", "description"):
            if self.random.random() < 0.15:
                good = {"run_id": ["run1", "run2", ""], "run_link": ["https://runs/1", ""], "description": TEXTS}[key]
                body[key] = self.pick(good, [5, None, True, []])
        return self.post("model-versions/create", body)

    def get_model(self):
        return self.get("registered-models/get", [("name", self.name())])

    def update_model(self):
        body = {"name": self.name(), "description": self.pick(TEXTS, ODD_TEXTS)}
        if self.random.random() < 0.1:
            del body["description"]
        return self.post("registered-models/update", body, "PATCH")

    def rename(self):
        to = self.pick(self.pool, ODD_NAMES) if self.random.random() < 0.8 else self.name()
        return self.post("registered-models/rename", {"name": self.name(), "new_name": to})

    def delete_model(self):
        return self.post("registered-models/delete", {"name": self.name()}, "DELETE")

    def get_version(self):
        name = self.name()
        return self.get("model-versions/get", [("name", name), ("version", self.version(name))])

    def download(self):
        name = self.name()
        return self.get("model-versions/get-download-uri", [("name", name), ("version", self.version(name))])

    def update_version(self):
        name = self.name()
        body = {"name": name, "version": self.version(name), "description": self.pick(TEXTS, ODD_TEXTS)}
        if self.random.random() < 0.1:
            del body["description"]
        return self.post("model-versions/update", body, "PATCH")

    def delete_version(self):
        name = self.name()
        return self.post("model-versions/delete", {"name": name, "version": self.version(name)}, "DELETE")

    def transition(self):
        name = self.name()
        version = self.version(name)
        there = [(n, v) for n, model in sorted(self.models.items()) for v in sorted(model["versions"])]
        if self.removals > 1 and there:
            # Only a version that is there can be in a stage, where its removal is refused.
            name, version = self.random.choice(there)
        body = {"name": name, "version": version, "stage": self.pick(STAGES, ODD_STAGES)}
        if self.random.random() < 0.9:
            body["archive_existing_versions"] = self.pick([True, False, False], ["true", "false", None, 0, 1, [], "x"])
        if body["stage"] in ("Staging", "Production"):
            self.moved = name, body["version"]
        return self.post("model-versions/transition-stage", body)

    def remove_moved(self):
        """A removal of what was moved to a stage just now."""
        (name, version), self.moved = self.moved, None
        return self.random.choice([
            self.post("model-versions/delete", {"name": name, "version": version}, "DELETE"),
            self.post("registered-models/rename", {"name": name, "new_name": self.random.choice(NAMES)}),
            self.post("registered-models/delete", {"name": name}, "DELETE"),
        ])

    def model_tag(self):
        body = {"name": self.name(), "key": self.pick(KEYS, ODD_KEYS)}
        if self.random.random() < 0.3:
            return self.post("registered-models/delete-tag", body, "DELETE")
        return self.post("registered-models/set-tag", {**body, **self.value()})

    def version_tag(self):
        name = self.name()
        body = {"name": name, "version": self.version(name), "key": self.pick(KEYS, ODD_KEYS)}
        if self.random.random() < 0.3:
            return self.post("model-versions/delete-tag", body, "DELETE")
        return self.post("model-versions/set-tag", {**body, **self.value()})

    def value(self):
        return {} if self.random.random() < 0.05 else {"value": self.pick(VALUES, ODD_VALUES)}

    def set_alias(self):
        name = self.name()
        return self.post("registered-models/alias", {"name": name, "alias": self.pick(ALIASES, ODD_ALIASES), "version": self.version(name)})

    def get_alias(self):
        name = self.name()
        alias = "latest" if self.random.random() < 0.2 else self.alias(name)
        return self.get("registered-models/alias", [("name", name), ("alias", alias)])

    def delete_alias(self):
        name = self.name()
        return self.post("registered-models/alias", {"name": name, "alias": self.alias(name)}, "DELETE")

    def latest(self):
        stages = [self.pick(STAGES, ODD_STAGES) for _ in range(self.random.randrange(3))]
        if self.random.random() < 0.5:
            return self.get("registered-models/get-latest-versions", [("name", self.name())] + [("stages", s) for s in stages])
        return self.post("registered-models/get-latest-versions", {"name": self.name(), "stages": stages})

    def search_models(self):
        return self.search("registered-models/search", self.model_filter, ["name", "timestamp", "last_updated_timestamp", "`name`"])

    def search_versions(self):
        keys = ["name", "version_number", "creation_timestamp", "last_updated_timestamp", "attribute.name"]
        return self.search("model-versions/search", self.version_filter, keys)

    def search(self, path, make_filter, order_keys):
        query = []
        if self.random.random() < 0.75:
            query.append(("filter", make_filter()))
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            query.append(("order_by", self.order(order_keys)))
        if self.random.random() < 0.6:
            query.append(("max_results", self.pick(SIZES, ODD_SIZES)))
        if self.random.random() < self.oddness / 3:
            query.append(("page_token", self.random.choice(ODD_TOKENS)))
        return self.get(path, query, follow=not any(k == "max_results" and v in ("0", "-1") for k, v in query))

    def order(self, keys):
        odd = ["", "  ", "name sideways", "name asc desc", "foo", "run_id", "version DESC", "name,version", "`name", "creation_timestamp", "tag.k",
            "name DESC;", "NAME", "name  \t desc", "name\nASC", "attribute.version_number DESC", "attributes.name", '"name"', "'name'", "source_path"]
        how = self.random.choice(["", " ASC", " DESC", " asc", " desc"])
        return self.pick([self.random.choice(keys) + how], odd)

    def text(self):
        """A value of a filter, in quotes."""
        words = self.pool + VALUES[:6] + ["%", "%u%", "c____", "_", "run1", "s3://bucket/model", "%a%", "W%", "w%"]
        text = self.random.choice(words).replace("\n", " ")
        quote = '"' if "'" in text else "'"
        return f"{quote}{text}{quote}"

    def clause(self, names, numbers):
        r = self.random.random()
        spaces = self.random.choice([" ", " ", " ", "  ", "\t", ""])
        if r < 0.3:
            key = self.random.choice(KEYS[:7])
            key = key if key.isalnum() and key.isascii() else self.random.choice(["`{}`", '"{}"']).format(key)
            comparator = self.random.choice(["=", "!=", "LIKE", "ILIKE", "like", "iLike"])
            return f"{self.random.choice(['tag', 'tags'])}.{key} {comparator} {self.text()}"
        if r < 0.42:
            return f"tags.`mlflow.prompt.is_prompt` {self.random.choice(['=', '!='])} {self.random.choice(repr_of)}"
        if numbers and r < 0.6:
            comparator = self.random.choice(["=", "!=", ">", ">=", "<", "<="])
            return f"version_number{spaces}{comparator}{spaces}{self.random.choice(['1', '2', '3', '0', chr(39) + '2' + chr(39)])}"
        key = self.random.choice(names)
        if r > 0.9 and key in ("name", "run_id"):
            items = ", ".join(self.text() for _ in range(self.random.randrange(1, 4)))
            return f"{key} {self.random.choice(['IN', 'in', 'NOT IN'])} ({items})"
        comparator = self.random.choice(["=", "!=", "LIKE", "ILIKE"])
        spaces = " " if comparator.isalpha() else spaces
        return f"{key}{spaces}{comparator}{spaces}{self.text()}"

    def model_filter(self):
        return self.filter(["name", "name", "attribute.name"], False)

    def version_filter(self):
        return self.filter(["name", "name", "run_id", "source_path", "attribute.run_id"], True)

    def filter(self, names, numbers):
        if self.random.random() < self.oddness:
            return self.random.choice(ODD_FILTERS)
        clauses = [self.clause(names, numbers) for _ in range(self.random.choice([1, 1, 1, 2, 2, 3]))]
        return self.random.choice([" AND ", " and ", " And "]).join(clauses)

    def strange(self):
        """What no sound client asks."""
        path, verb = self.random.choice([
            ("registered-models/get", "POST"), ("registered-models/create", "GET"), ("registered-models/nothing", "GET"), ("model-versions/get/", "GET"),
            ("registered-models/", "GET"), ("model-versions/create", "PUT"), ("model-versions/search", "DELETE"), ("registered-models/create", "PATCH"),
        ])
        call = {"verb": verb, "path": path}
        return call if verb == "GET" else {**call, "body": {"name": "churn"}}

    def saw(self, call, answer):
        """Notes what there is now, by MLflow's answer."""
        status, pages = answer
        body = call.get("body")
        if status != 200 or not isinstance(body, dict):
            return
        path, verb, name = call["path"], call["verb"], body.get("name")
        model = self.models.get(name) if isinstance(name, str) else None
        if path == "registered-models/create":
            self.models[name] = {"versions": set(), "aliases": set()}
            if any(t == {"key": "mlflow.prompt.is_prompt", "value": "true"} for t in body.get("tags") or []):
                self.prompts.add(name)
        elif path == "registered-models/rename":
            to = body.get("new_name", body.get("newName"))
            self.models[to] = self.models.pop(name, {"versions": set(), "aliases": set()})
            if name in self.prompts:
                self.prompts.add(to)
        elif path == "registered-models/delete":
            self.models.pop(name, None)
            self.prompts.discard(name)
        elif model is None:
            return
        elif path == "model-versions/create":
            model["versions"].add(pages[0]["model_version"]["version"])
        elif path == "model-versions/delete":
            model["versions"].discard(body.get("version"))
        elif path == "registered-models/alias" and verb == "POST":
            model["aliases"].add(body.get("alias"))


repr_of = ["'true'", "'true'", "'false'"]

ODD_FILTERS = [
    "", "  ", "name", "name =", "= 'x'", "name = x", "name = 5", "name == 'x'", "name <> 'x'", "name > 'x'", "foo = 'x'", "tag = 'x'", "tags.k > 'v'",
    "params.k = 'v'", "metrics.a > 1", "name = 'a' OR name = 'b'", "NOT name = 'a'", "(name = 'a')", "name = 'a';", "name LIKE", "name IS NULL",
    "name IN ()", "name IN (1, 2)", "name IN ('a'", "name IN 'a'", "name NOT IN ('churn')", "version_number LIKE '1'", "version_number = 'x'",
    "version_number = 1.5", "version_number > -1", "version_number IN (1)", "run_id NOT IN ('a')", "source_path IN ('a')", "run_id IN ('a')", "AND name = 'a'",
    "name = 'a' AND", "name = 'a' name = 'b'", "'name' = 'a'", "`name` = 'a'", '"name" = "a"', "name = 'a''b'", "name = 'a\"", "Name = 'a'",
    "attributes.name = 'a'", "attr.name = 'a'", "tag.`a", "tag.k = v", "tag.k = 5", "tag.k IN ('v')", "tag.k IS NULL", "name LIKE 'a' ORDER BY name",
    "name = 'a' -- comment", "name = 'a' /* c */", "name='churn'", "name  =  'churn'", "name\n=\n'churn'", "name = ''", "name ILIKE '%'", "name = 'a' AND AND name = 'b'",
    "run_id = ''", "tag.k = ''", "creation_timestamp > 5", "tags.k.l = 'v'", "tag.'k' = 'v'", "name BETWEEN 'a' AND 'b'", "name = \"churn\"", "1 = 1", "*", "name = null",
    "name = true", "tag.k = 'v' AND tag.k != 'w'", "tag.k LIKE 'v%' AND tag.team = 'v'", "name = 'ünïcödé'", "name ILIKE 'ÜN%'", "name LIKE '%\\_%'",
    "name = 'a%2Fb' and tag.k='v'", "source_path LIKE 's3://%'", "version_number >= 2 AND version_number < 4", "name != 'churn'", "🙂 = 'x'", "x" * 9000,
]
