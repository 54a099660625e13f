"""The differences between greenroom and MLflow that are meant; `examples/server/DIFFERENCES.md` says why each is."""

import json
import re
import unicodedata

# Who made something is in no answer of MLflow's own server; the other two are its inner names of errors.
UNCOMPARED = {"user_id", "sqlstate", "error_class"}

MEANT = {}


def read(path):
    """The ids of the list, in its order."""
    with open(path, encoding="utf-8") as f:
        return re.findall(r"^\| `([a-z0-9-]+)` \|", f.read(), re.MULTILINE)


def meant(name):
    """Lists a difference: a function says whether what was answered is a case of it."""

    def add(is_meant):
        MEANT[name] = is_meant
        return is_meant

    return add


def without_aliases(ours, theirs):
    """Our answers without the aliases of versions where MLflow's have none: in searches, and in the newest versions of a
    model; and whether there were any."""
    if isinstance(ours, list):
        pairs = [without_aliases(a, b) for a, b in zip(ours, theirs)] if isinstance(theirs, list) and len(ours) == len(theirs) else []
        return ([a for a, _ in pairs], any(found for _, found in pairs)) if pairs else (ours, False)
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return ours, False
    is_version = "current_stage" in ours
    dropped = is_version and "aliases" in ours and "aliases" not in theirs
    pairs = {k: without_aliases(v, theirs.get(k)) for k, v in ours.items() if not (dropped and k == "aliases")}
    return {k: v for k, (v, _) in pairs.items()}, dropped or any(found for _, found in pairs.values())


def part(name, call, ours, theirs):
    """Whether the two registries may hold different things after a difference."""
    one_did = (ours[0] == 200) != (theirs[0] == 200) and call["verb"] != "GET"
    return one_did and "latest" not in call["path"] or name == "nothing-changed"


def message(answer):
    """The words of an error."""
    last = answer[1][-1]
    return last.get("message", "") if isinstance(last, dict) else ""


def code(answer):
    last = answer[1][-1]
    return last.get("error_code") if isinstance(last, dict) else None


def texts(value):
    """All texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def sent(call, *keys):
    """The texts that a call sends under these names; without names, all."""
    pairs = [(k, v) for k, v in call.get("query", [])]
    body = call.get("body")
    pairs += list(body.items()) if isinstance(body, dict) else []
    return [text for k, v in pairs if not keys or k in keys for text in texts(v)]


def is_plain(c):
    return unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp")


def refused(answer):
    return 400 <= answer[0] < 500


@meant("no-5xx")
def no_5xx(call, ours, theirs, removal):
    return theirs[0] >= 500 and refused(ours)


@meant("unknown-address")
def unknown_address(call, ours, theirs, removal):
    return code(ours) == "ENDPOINT_NOT_FOUND" and theirs[0] in (404, 405) and code(theirs) is None


@meant("removal")
def removal_rules(call, ours, theirs, removal):
    is_removal = call["path"] in ("registered-models/delete", "registered-models/rename", "model-versions/delete")
    is_ours = code(ours) == "INVALID_PARAMETER_VALUE" and "is in " in message(ours) and "you may not " in message(ours)
    return removal == "inactive" and is_removal and theirs[0] == 200 and is_ours


@meant("plain-text")
def plain_text(call, ours, theirs, removal):
    odd = any(not is_plain(c) and c not in "\n\t" for text in sent(call) for c in text)
    odd_name = any(not is_plain(c) for text in sent(call, "name", "new_name", "alias", "key", "source") for c in text)
    return refused(ours) and (odd or odd_name)


@meant("line-ends")
def line_ends(call, ours, theirs, removal):
    same = lambda pages: json.loads(json.dumps(pages).replace("\\r\\n", "\\n"))
    return ours[0] == theirs[0] == 200 and ours[1] == same(theirs[1])


@meant("name-length")
def name_length(call, ours, theirs, removal):
    return message(ours) == "'name' exceeds the maximum length of 256 characters" and any(len(t) > 256 for t in sent(call, "name", "new_name"))


@meant("alike-names")
def alike_names(call, ours, theirs, removal):
    return code(ours) == "INVALID_PARAMETER_VALUE" and "only by case" in message(ours) and theirs[0] == 200


@meant("text-length")
def text_length(call, ours, theirs, removal):
    long = any(len(t.encode()) > 100_000 for t in sent(call))
    return long and code(ours) == "INVALID_PARAMETER_VALUE" and "exceeds the maximum length of 100000 bytes" in message(ours)


@meant("long-values")
def long_values(call, ours, theirs, removal):
    if ours[0] != theirs[0] or code(ours) != code(theirs) or "…" not in message(ours):
        return False
    begins, ends = message(ours).split("…", 1)
    return message(theirs).startswith(begins) and message(theirs).endswith(ends.lstrip("\"'"))


@meant("escaped-words")
def escaped_words(call, ours, theirs, removal):
    def plain(words):
        words = re.sub(r"\\u\{([0-9a-f]+)\}", lambda m: chr(int(m[1], 16)), words)
        words = re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), words)
        return words.replace("\\n", "\n").replace("\\t", "\t").encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    same = ours[0] == theirs[0] and refused(ours) and code(ours) == code(theirs)
    return same and plain(message(ours)) == plain(message(theirs))


@meant("blank-keys")
def blank_keys(call, ours, theirs, removal):
    blank = any(key and not key.strip() for key in sent(call, "key", "tags"))
    return blank and message(ours).startswith("Missing value for required parameter 'key'")


@meant("plain-digits")
def plain_digits(call, ours, theirs, removal):
    odd = any(c.isnumeric() and not c.isascii() for text in sent(call, "version", "alias", "source", "max_results") for c in text)
    return odd and (refused(ours) or refused(theirs))


@meant("broken-json")
def broken_json(call, ours, theirs, removal):
    return "raw" in call and code(ours) == "BAD_REQUEST" and "is not valid JSON" in message(ours) and refused(theirs)


@meant("wrong-types")
def wrong_types(call, ours, theirs, removal):
    body = call.get("body")
    unseen = isinstance(body, dict) and ("tags" in body or any(not key.islower() for key in body))
    return unseen and code(ours) == "INVALID_PARAMETER_VALUE" and " Hint: Value was of type " in message(ours)


@meant("odd-sizes")
def odd_sizes(call, ours, theirs, removal):
    odd = any(not re.fullmatch(r"-?\d+", size) for size in sent(call, "max_results"))
    return odd and call["verb"] == "GET" and theirs[0] < 500


@meant("delete-by-query")
def delete_by_query(call, ours, theirs, removal):
    return call["verb"] == "DELETE" and "query" in call and message(theirs).startswith("Missing value for required parameter")


@meant("content-type")
def content_type(call, ours, theirs, removal):
    kind = call.get("headers", {}).get("Content-Type", "application/json")
    ours_only = call["verb"] in ("PATCH", "DELETE") and message(ours).startswith("Bad Request. Content-Type")
    return ours_only or kind == "APPLICATION/JSON" and message(theirs).startswith("Bad Request. Content-Type")


@meant("positive-pages")
def positive_pages(call, ours, theirs, removal):
    odd = any(re.fullmatch(r"\s*[-+]?\d[\d_]*\s*", size) and int(size) < 1 for size in sent(call, "max_results"))
    return odd and message(ours).startswith("Invalid value for max_results. It must be a positive integer")


@meant("key-length")
def key_length(call, ours, theirs, removal):
    return call["verb"] == "DELETE" and message(ours) == "'key' exceeds the maximum length of 250 characters"


@meant("rename-taken")
def rename_taken(call, ours, theirs, removal):
    both = code(ours) == code(theirs) == "RESOURCE_ALREADY_EXISTS" and call["path"] == "registered-models/rename"
    return both and message(theirs).startswith(message(ours) + " Error: ")


@meant("kept-sources")
def kept_sources(call, ours, theirs, removal):
    # Where something else is wrong, too, MLflow speaks of the source first.
    is_refused = theirs[0] >= 500 or refused(theirs) and "source" in message(theirs)
    return call["path"] == "model-versions/create" and is_refused and "source" not in message(ours)


@meant("source-words")
def source_words(call, ours, theirs, removal):
    both = all(message(side).startswith("Invalid model version source: ") for side in (ours, theirs))
    return call["path"] == "model-versions/create" and ours[0] == theirs[0] and both


@meant("alias-length")
def alias_length(call, ours, theirs, removal):
    return "exceeds the maximum length: as the file" in message(ours) and any(len(a.encode()) > 80 for a in sent(call, "alias"))


@meant("filter-size")
def filter_size(call, ours, theirs, removal):
    return message(ours).startswith("Invalid search: ") and "are allowed" in message(ours)


@meant("more-aliases")
def more_aliases(call, ours, theirs, removal):
    return False  # Counted where answers are compared: it may come with any other difference.


@meant("more-search")
def more_search(call, ours, theirs, removal):
    more = r"\b(or|alias|stage|current_stage|description|creation_timestamp|last_updated_timestamp)\b|[(]|\b(params?|metrics?)[.]"
    asks = any(re.search(more, text, re.IGNORECASE) for text in sent(call, "filter"))
    return call["path"].endswith("/search") and asks and theirs[0] == 400 and ours[0] in (200, 400)


@meant("first-mistake")
def first_mistake(call, ours, theirs, removal):
    is_search = call["path"].endswith("/search") and sum(bool(sent(call, key)) for key in ("filter", "order_by", "max_results")) > 1
    return is_search and ours[0] == theirs[0] == 400 and code(ours) == code(theirs)


@meant("page-tokens")
def page_tokens(call, ours, theirs, removal):
    return bool(sent(call, "page_token")) and message(ours).startswith("Invalid page token")


# What says when a model or version last changed, also where it is so already.
CHANGES = ("registered-models/update", "registered-models/rename", "model-versions/update", "model-versions/transition-stage")


@meant("nothing-changed")
def nothing_changed(call, ours, theirs, removal):
    def timeless(value):
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if k != "last_updated_timestamp"}
        if isinstance(value, str):
            return value.replace("\r\n", "\n")  # A text of before may differ by its line ends.
        return [timeless(v) for v in value] if isinstance(value, list) else value

    return call.get("idle", False) and theirs[0] == 200 and timeless(ours[1]) == timeless(filled(theirs[1]))


def filled(value):
    """An answer with an empty description in each version that has none."""
    if isinstance(value, list):
        return [filled(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {k: filled(v) for k, v in value.items()}
    return {"description": "", **out} if "current_stage" in out else out


@meant("no-description")
def no_description(call, ours, theirs, removal):
    return ours[0] == theirs[0] == 200 and ours[1] == filled(theirs[1])
