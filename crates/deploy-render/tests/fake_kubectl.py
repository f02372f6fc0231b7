#!/usr/bin/env python3
"""A kubectl with a cluster of its own, for tests: no API server can be had where they run.

It stands in for what `kubectl.apply` relies on, as kubectl documents it: exit codes (`diff`: 0 none, 1 some, more is an
error), the names of the files that `diff` compares, `get` that prints nothing, an object or a List, server-side apply
that leaves alone what the manifest does not say, `replace` that refuses what is not there, `rollout status` that fails
in the end. What it does not stand in for: schemas, immutable fields, admission, real conflicts. A test hands each command
line it saw to the real kubectl, which must know the flags.

The cluster is `cluster.json` in the folder this program is started from (through a link): {"contexts", "objects",
"faults"}. Every command line is added to `log`.
"""
import copy
import json
import os
import sys

HOME = os.path.dirname(os.path.abspath(sys.argv[0]))
STATE = os.path.join(HOME, "cluster.json")
CLUSTER_KINDS = {"Namespace", "CustomResourceDefinition"}
FLAGS = {
    "kustomize": set(),
    "config": {"--output"},
    "get": {"-k", "-f", "--output", "--ignore-not-found!", "--show-managed-fields!"},
    "diff": {"-k", "--server-side!", "--field-manager"},
    "apply": {"-k", "--server-side!", "--field-manager"},
    "replace": {"-f", "--field-manager"},
    "delete": {"-f", "--ignore-not-found!", "--timeout"},
    "rollout": {"--timeout", "--namespace"},
}


def fail(text, code=1):
    print(text, file=sys.stderr)
    sys.exit(code)


def parse(args):
    context = None
    if args and args[0] == "--context":
        context, args = args[1], args[2:]
    command, rest = args[0], args[1:]
    known, flags, words = FLAGS[command], {}, []
    while rest:
        word, rest = rest[0], rest[1:]
        if word + "!" in known:
            flags[word] = True
        elif word in known:
            flags[word], rest = rest[0], rest[1:]
        elif word.startswith("-"):
            fail(f"error: unknown flag: {word}")
        else:
            words.append(word)
    return context, command, flags, words


def build(folder):
    file = os.path.join(folder, "kustomization.yaml")
    if not os.path.exists(file):
        fail(f"error: unable to find one of 'kustomization.yaml' in directory '{folder}'")
    objects = []
    for name in json.load(open(file))["resources"]:
        objects.append(json.load(open(os.path.join(folder, name))))
    return objects


def named(flags):
    if "-k" in flags:
        return build(flags["-k"])
    content = json.load(open(flags["-f"]))
    return content["items"] if content["kind"] == "List" else [content]


def key(found):
    namespace = "" if found["kind"] in CLUSTER_KINDS else found["metadata"].get("namespace", "default")
    group = found["apiVersion"].rpartition("/")[0]
    return f"{group}|{found['kind']}|{namespace}|{found['metadata']['name']}"


def title(found):
    group = found["apiVersion"].rpartition("/")[0]
    return f"{found['kind'].lower()}{'.' + group if group else ''}/{found['metadata']['name']}"


def merged(old, new):
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return copy.deepcopy(new)
    return {**old, **{name: merged(old.get(name), value) for name, value in new.items()}}


def settled(found, was, state, manager, operation):
    """What the server and its controllers add."""
    meta = found["metadata"]
    state["version"] = state.get("version", 0) + 1
    same = was is not None and found.get("spec") == was.get("spec")
    meta["generation"] = was["metadata"]["generation"] + (0 if same else 1) if was else 1
    meta["uid"] = was["metadata"]["uid"] if was else f"uid-{state['version']}"
    meta["creationTimestamp"] = "2026-01-01T00:00:00Z"
    if found["kind"] not in CLUSTER_KINDS:
        meta.setdefault("namespace", "default")
    managers = [m for m in (was or {}).get("metadata", {}).get("managedFields", []) if m["manager"] != manager]
    meta["managedFields"] = managers + [{"manager": manager, "operation": operation}]
    meta["resourceVersion"] = str(state["version"])
    if found["kind"] in ("Deployment", "StatefulSet"):
        wanted = found["spec"].get("replicas", 1)
        up = 0 if found["spec"].get("image") == "broken" else wanted
        found["status"] = {"observedGeneration": meta["generation"], "updatedReplicas": wanted, "readyReplicas": up}
    return found


def main():
    args = sys.argv[1:]
    with open(os.path.join(HOME, "log"), "a") as log:
        log.write(json.dumps(args) + "\n")
    context, command, flags, words = parse(args)
    state = json.load(open(STATE))
    objects, faults = state["objects"], state["faults"]
    if command == "kustomize":
        print("".join("---\n" + json.dumps(found) + "\n" for found in build(words[0])))
        return
    if command == "config":
        if words[1] not in state["contexts"]:
            fail(f"error: context {words[1]} not found")
        print(words[1])
        return
    if context not in state["contexts"]:
        fail(f'error: context "{context}" does not exist')
    if faults.get(command) == "unreachable":
        fail("Unable to connect to the server: dial tcp 192.0.2.1:443: i/o timeout", 2 if command == "diff" else 1)
    if command == "get":
        found = [copy.deepcopy(objects[key(one)]) for one in named(flags) if key(one) in objects]
        if "--show-managed-fields" not in flags:
            for one in found:
                del one["metadata"]["managedFields"]
        if len(named(flags)) == 1 and found:
            print(json.dumps(found[0]))
        elif found:
            print(json.dumps({"apiVersion": "v1", "kind": "List", "items": found, "metadata": {}}))
        return
    if command == "diff":
        differ = False
        if faults.get("diff") == "conflict":
            fail('error: Apply failed with 1 conflict: conflict with "hpa" using apps/v1: .spec.replicas', 2)
        for new in build(flags["-k"]):
            space = new["metadata"].get("namespace")
            if space and f"|Namespace||{space}" not in objects:
                fail(f'Error from server (NotFound): namespaces "{space}" not found', 2)
            old = objects.get(key(new))
            if old is None or merged(old, new) != old:
                differ = True
                space = "" if new["kind"] in CLUSTER_KINDS else new["metadata"].get("namespace", "default")
                name = f"{new['apiVersion'].replace('/', '.')}.{new['kind']}.{space}.{new['metadata']['name']}"
                print(f"diff -u -N /tmp/LIVE-1/{name} /tmp/MERGED-2/{name}")
                print(f"--- /tmp/LIVE-1/{name}\t2026-01-01 00:00:00\n+++ /tmp/MERGED-2/{name}\t2026-01-01 00:00:00\n@@ -1 +1 @@")
        sys.exit(1 if differ else 0)
    if command == "apply":
        for count, new in enumerate(build(flags["-k"])):
            if faults.get("apply") == count:
                del faults["apply"]
                json.dump(state, open(STATE, "w"))
                fail(f"Error from server (Forbidden): {title(new)} is forbidden")
            old = objects.get(key(new))
            if old is None or merged(old, new) != old or not any(m["manager"] == flags["--field-manager"] for m in old["metadata"]["managedFields"]):
                objects[key(new)] = settled(merged(old or {}, new), old, state, flags["--field-manager"], "Apply")
            print(f"{title(new)} serverside-applied")
    if command == "replace":
        for new in named(flags):
            old = objects.get(key(new))
            if old is None:
                fail(f"Error from server (NotFound): {title(new)} not found")
            for own in ("resourceVersion", "uid"):
                if new["metadata"].get(own, old["metadata"][own]) != old["metadata"][own]:
                    fail("Error from server (Conflict): the object has been modified")
            objects[key(new)] = settled(copy.deepcopy(new), old, state, flags["--field-manager"], "Update")
            print(f"{title(new)} replaced")
    if command == "delete":
        for one in named(flags):
            if objects.pop(key(one), None) is None and "--ignore-not-found" not in flags:
                fail(f"Error from server (NotFound): {title(one)} not found")
            print(f"{title(one)} deleted")
    if command == "rollout":
        kind, name = words[1].split("/")
        one = objects.get(next(k for k in objects if k.lower().startswith(f"apps|{kind}|{flags.get('--namespace', 'default')}|{name}".lower())))
        if one["status"]["readyReplicas"] < one["spec"].get("replicas", 1):
            fail(f'Waiting for {kind} "{name}" rollout to finish\nerror: timed out waiting for the condition')
        print(f'{kind} "{name}" successfully rolled out')
    json.dump(state, open(STATE, "w"))


main()
