"""Asks `greenroom serve` and MLflow's own server the same random questions, and compares the answers.

    python differential.py OURS THEIRS --list DIFFERENCES.md [--calls N] [--seed S] [--removal any|inactive]

OURS and THEIRS are addresses of two servers that hold nothing else. An answer is its status, its JSON and its words; a
time in it counts as the call in which it came about. What differs by intent is in the list, under an id; anything else is
a fault: the sequence is made as short as it can be, printed with its seed, and the exit code is 1. Prints at the end how
often each difference of the list occurred, and fails if one never did and `--all` is given.
"""

import argparse
import json
import random
import re
import sys
import time

import urllib3

import differential_calls as calls
import differential_list as differences

# How many calls a sequence has before both servers are emptied.
LENGTH = 60

# How many pages of one search are read.
PAGES = 40


class Side:
    """One server: sends calls to it, and knows when each was."""

    def __init__(self, url):
        host, port = url.removeprefix("http://").rsplit(":", 1)
        self.pool = urllib3.HTTPConnectionPool(host, int(port), maxsize=1, retries=False, timeout=120)
        self.spans = []
        self.seconds = 0.0

    def send(self, call, token=None):
        """Sends one request; gives the status, the JSON or text, and whether it was JSON."""
        path, headers, body = calls.encoded(call, token)
        begun = time.time()
        reply = self.pool.request(call["verb"], path, body=body, headers=headers)
        self.seconds += time.time() - begun
        text = reply.data.decode("utf-8", "replace")
        try:
            return reply.status, json.loads(text)
        except ValueError:
            return reply.status, text

    def ask(self, call):
        """Sends a call and, for a search, follows its pages to the end."""
        begun = int(time.time() * 1000)
        status, body = self.send(call)
        pages = [body]
        while call.get("follow") and isinstance(body, dict) and body.get("next_page_token") and len(pages) < PAGES:
            status, body = self.send(call, body["next_page_token"])
            pages.append(body)
        self.spans.append((begun, int(time.time() * 1000)))
        return status, [self.plain(page) for page in pages]

    def moment(self, millis):
        """The number of the call in which a time came about; none if there was no such call."""
        for number in range(len(self.spans) - 1, -1, -1):
            begun, ended = self.spans[number]
            if begun <= millis <= ended:
                return number
            if millis > ended:
                break
        return None

    def is_of(self, millis, number):
        """Whether a time came about in a call."""
        begun, ended = self.spans[number]
        return begun <= millis <= ended

    def plain(self, value, key=None):
        """An answer without what cannot be the same."""
        if isinstance(value, dict):
            out = {k: self.plain(v, k) for k, v in value.items() if k not in differences.UNCOMPARED}
            if out.get("next_page_token"):
                out["next_page_token"] = "more"
            return out
        if isinstance(value, list):
            items = [self.plain(v, key) for v in value]
            # Neither server promises an order of these.
            if key in ("tags", "aliases"):
                return sorted(items, key=json.dumps)
            # In a search MLflow leaves the order of these to the database.
            return sorted(items, key=lambda v: int(v["version"])) if key == "latest_versions" else items
        if key == "message":
            # Python prints the members of a set in any order.
            return re.sub(r"\{('[^{}]*')\}", lambda m: "{" + ", ".join(sorted(m[1].split(", "))) + "}", value)
        return value

    def commit(self):
        """What a greenroom server's answers depend on now: its newest commit."""
        return self.pool.request("GET", calls.PREFIXES[0] + "registered-models/search?max_results=1").headers.get("ETag")

    def wipe(self):
        """Deletes what an earlier run left."""
        for prompts in ("", "tags.`mlflow.prompt.is_prompt` = 'true'"):
            query = [["max_results", "1000"], ["filter", prompts]]
            found = self.send({"verb": "GET", "path": "registered-models/search", "query": query})[1]
            self.empty([m["name"] for m in found.get("registered_models", [])], True)

    def empty(self, names, archive):
        """Deletes what a sequence left."""
        for name in names:
            versions = {"verb": "GET", "path": "registered-models/get-latest-versions", "query": [["name", name]]}
            left = archive
            while left:
                found = self.send(versions)[1]
                found = found.get("model_versions", []) if isinstance(found, dict) else []
                found = [v for v in found if v["current_stage"] not in ("None", "Archived")]
                for v in found:
                    to = {"name": name, "version": v["version"], "stage": "Archived"}
                    self.send({"verb": "POST", "path": "model-versions/transition-stage", "body": to})
                left = bool(found)
            self.send({"verb": "DELETE", "path": "registered-models/delete", "body": {"name": name}})
        self.spans = []


def aligned(ours, theirs, us, them):
    """Our answer with MLflow's times, where they came about in the same call."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {k: aligned(v, theirs[k], us, them) if k in theirs else v for k, v in ours.items()}
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [aligned(a, b, us, them) for a, b in zip(ours, theirs)]
    if ours != theirs and type(ours) is int and type(theirs) is int:
        number = them.moment(theirs)
        if number is not None and us.is_of(ours, number):
            return theirs
        return f"{ours}, in call {us.moment(ours)} and not in call {number}"
    return ours


def first_difference(ours, theirs, where=""):
    """Where two answers differ first, in words."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key, ...) != theirs.get(key, ...):
                return first_difference(ours.get(key, ...), theirs.get(key, ...), f"{where}.{key}")
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for n, (a, b) in enumerate(zip(ours, theirs)):
            if a != b:
                return first_difference(a, b, f"{where}[{n}]")
    shown = lambda v: "nothing" if v is ... else json.dumps(v, ensure_ascii=False)[:700]
    return f"{where or 'the answer'}: greenroom {shown(ours)}\n    MLflow {shown(theirs)}"


class Comparison:
    """Both servers, and what was seen of them."""

    def __init__(self, ours, theirs, removal):
        self.ours, self.theirs, self.removal = Side(ours), Side(theirs), removal
        self.seen = {}
        self.codes = {}
        self.count = 0

    def step(self, call):
        """Makes a call; gives MLflow's answer, the id of a difference that is meant, whether the two hold different things
        after it, and the words of a difference that is not meant."""
        may_be_idle = call["path"] in differences.CHANGES
        before = self.ours.commit() if may_be_idle else None
        ours, theirs = self.ours.ask(call), self.theirs.ask(call)
        self.count += 1
        ours = ours[0], aligned(ours[1], theirs[1], self.ours, self.theirs)
        plain, had_aliases = differences.without_aliases(ours[1], theirs[1])
        if had_aliases and (call["path"].endswith("/search") or "/model-versions/" not in "/" + call["path"]):
            ours = ours[0], plain
            self.seen["more-aliases"] = self.seen.get("more-aliases", 0) + 1
        last = theirs[1][-1]
        code = last.get("error_code", "OK") if isinstance(last, dict) else "OK"
        kind = (call["verb"], call["path"].split("?")[0], theirs[0], code)
        self.codes[kind] = self.codes.get(kind, 0) + 1
        if may_be_idle and ours[0] == 200 and before == self.ours.commit():
            call = {**call, "idle": True}
        if ours == theirs and not call.get("idle"):
            return theirs, None, False, None
        # What changed nothing is told first: the answers may be the same, and still the times differ from now on.
        by_rank = sorted(differences.MEANT.items(), key=lambda item: item[0] != "nothing-changed")
        for name, is_meant in by_rank:
            if is_meant(call, ours, theirs, self.removal):
                return theirs, name, differences.part(name, call, ours, theirs), None
        said = f"status {ours[0]} and {theirs[0]}\n    " if ours[0] != theirs[0] else ""
        return theirs, None, False, said + first_difference(ours[1], theirs[1])

    def clear(self, names):
        self.ours.empty(names, self.removal == "inactive")
        self.theirs.empty(names, False)

    def replay(self, sequence):
        """The number of the first call of a sequence that differs, and how; none if all agree."""
        names = set()
        try:
            for number, call in enumerate(sequence):
                _, _, parted, fault = self.step(call)
                names |= calls.names(call)
                if fault:
                    return number, fault
                if parted:
                    return None
            return None
        finally:
            self.clear(names)

    def shortest(self, sequence, fault):
        """The shortest sequence found whose last call still differs."""
        size = max(1, len(sequence) // 2)
        while size >= 1:
            at = 0
            while at < len(sequence) - 1:
                shorter = sequence[:at] + sequence[min(at + size, len(sequence) - 1) :]
                found = self.replay(shorter)
                if found and found[0] == len(shorter) - 1:
                    sequence, fault = shorter, found[1]
                else:
                    at += size
            size //= 2
        return sequence, fault

    def sequence(self, seed):
        """Runs one random sequence; gives a fault with the calls that lead to it."""
        maker = calls.Maker(random.Random(seed), 3 if self.removal == "inactive" else 1)
        done, names = [], set()
        for _ in range(LENGTH):
            call = maker.next()
            done.append(call)
            theirs, meant, parted, fault = self.step(call)
            names |= calls.names(call)
            if meant:
                self.seen[meant] = self.seen.get(meant, 0) + 1
            if fault:
                self.clear(names)
                return done, fault
            if parted:
                break
            maker.saw(call, theirs)
        self.clear(names)
        return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ours")
    parser.add_argument("theirs")
    parser.add_argument("--list", required=True, help="the list of differences that are meant")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--removal", choices=["any", "inactive"], default="any")
    parser.add_argument("--all", action="store_true", help="fail if a difference of the list never occurred")
    parser.add_argument("--faults", type=int, default=1, help="how many faults to look for before it ends")
    args = parser.parse_args()
    listed = differences.read(args.list)
    assert listed == list(differences.MEANT), f"{args.list} has {listed}, the test {list(differences.MEANT)}"

    both = Comparison(args.ours, args.theirs, args.removal)
    both.ours.wipe()
    both.theirs.wipe()
    begun, number, faults = time.time(), 0, 0
    while both.count < args.calls and faults < args.faults:
        seed = f"{args.seed}/{number}"
        number += 1
        found = both.sequence(seed)
        if found:
            faults += 1
            sequence, fault = both.shortest(*found)
            print(f"--- seed {seed}: {fault}")
            for call in sequence:
                print("  " + json.dumps(call, ensure_ascii=False))
            sys.stdout.flush()
    took = time.time() - begun
    print(f"{both.count} calls in {number} sequences, seed {args.seed}, {took:.0f} s")
    print(f"waited for greenroom {both.ours.seconds:.1f} s, for MLflow {both.theirs.seconds:.1f} s")
    done = sum(count for kind, count in both.codes.items() if kind[2] == 200)
    print(f"{len(both.codes)} kinds of answers (address, status and error code); {done} calls did what they asked")
    for name in listed:
        print(f"{both.seen.get(name, 0):6} {name}")
    never = [name for name in listed if name not in both.seen]
    if never:
        print("never occurred: " + ", ".join(never))
    sys.exit(1 if faults or (args.all and never) else 0)


if __name__ == "__main__":
    main()
