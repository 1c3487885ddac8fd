"""What `record` and `check` share: preparing a case, and describing what became of it."""

import functools
import gzip
import hashlib
import http.server
import json
import os
import posixpath
import re
import shutil
import socket
import subprocess
import tarfile
import threading

GOLDEN = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.join(GOLDEN, "..", "..", "scripts")
KINDS = {
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "fifo",
}


class Layout:
    """An OCI layout with one image."""

    def __init__(self, root):
        self.root = root
        with open(os.path.join(root, "index.json"), encoding="utf-8") as file:
            self.digest = json.load(file)["manifests"][0]["digest"]
        self.manifest = self.json(self.digest)
        self.image = self.json(self.manifest["config"]["digest"])
        self.diff_ids = self.image["rootfs"].get("diff_ids") or []

    def blob(self, digest):
        return os.path.join(self.root, "blobs", *digest.split(":"))

    def json(self, digest):
        with open(self.blob(digest), encoding="utf-8") as file:
            return json.load(file)

    def tree(self):
        """The files as a container would see them, by path."""
        tree = {}
        for layer in self.manifest["layers"] or []:
            with gzip.open(self.blob(layer["digest"])) as plain:
                apply_layer(tree, plain)
        return tree


def apply_layer(tree, plain):
    fresh = {}
    with tarfile.open(fileobj=plain, mode="r|") as tar:
        for member in tar:
            path = posixpath.normpath("/" + member.name)[1:]
            folder, name = posixpath.split(path)
            if name == ".wh..wh..opq":
                remove_below(tree, folder)
            elif name.startswith(".wh."):
                gone = posixpath.join(folder, name[len(".wh.") :])
                remove_below(tree, gone)
                tree.pop(gone, None)
            elif path:
                fresh[path] = entry_of(tar, member)
    for path, entry in fresh.items():
        if entry["type"] != "directory":
            remove_below(tree, path)
        tree[path] = entry
    join_hard_links(tree, fresh)


def remove_below(tree, folder):
    for path in [p for p in tree if p.startswith(folder + "/")]:
        del tree[path]


def entry_of(tar, member):
    if member.islnk():
        return {"type": "hard link", "target": posixpath.normpath("/" + member.linkname)[1:]}
    kind = KINDS.get(member.type, "file")
    entry = {"type": kind, "mode": f"{member.mode:04o}", "uid": member.uid, "gid": member.gid}
    if kind == "symlink":
        del entry["mode"]
        entry["target"] = member.linkname
    elif kind.endswith("device"):
        entry["device"] = f"{member.devmajor}:{member.devminor}"
    elif kind == "file":
        content = tar.extractfile(member).read()
        entry |= describe_content(content)
    prefix = "SCHILY.xattr."
    xattrs = {k[len(prefix) :]: v for k, v in member.pax_headers.items() if k.startswith(prefix)}
    if xattrs:
        entry["xattrs"] = xattrs
    return entry


def describe_content(content):
    """Short text as it is, so that a difference can be read; anything else by its digest."""
    if len(content) <= 400:
        try:
            return {"text": content.decode()}
        except UnicodeDecodeError:
            pass
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return {"size": len(content), "digest": digest}


def join_hard_links(tree, fresh):
    """Gives every name of a file its attributes, and `link`: the first of its names."""
    groups = {}
    for path, entry in fresh.items():
        if entry["type"] == "hard link":
            groups.setdefault(entry["target"], [entry["target"]]).append(path)
    for first, paths in groups.items():
        for path in paths:
            tree[path] = tree[first] | {"link": min(paths)}


def describe(image, base, folder):
    """What is written down of an image that was built."""
    below = {}
    on_base = image.diff_ids[: len(base.diff_ids)] == base.diff_ids
    if on_base:
        below = base.tree()
    tree = image.tree()
    changed = [{"path": p, **e} for p, e in sorted(tree.items()) if below.get(p) != e]
    document = {"base": "busybox" if on_base else "scratch", "config": image.image["config"]}
    if "author" in image.image:
        document["author"] = image.image["author"]
    if platform_of(image) != platform_of(base):
        document["platform"] = platform_of(image)
    document["history"] = [
        {k: h[k] for k in ("created_by", "comment", "empty_layer") if k in h}
        for h in image.image.get("history") or []
    ]
    if sets_times(folder):
        document["times"] = describe_times(image)
    document["tree"] = changed
    document["removed"] = sorted(p for p in below if p not in tree)
    return document


def platform_of(image):
    fields = (image.image.get(field) for field in ("os", "architecture", "variant"))
    return "/".join(field for field in fields if field)


def sets_times(folder):
    paths = (os.path.join(folder, name) for name in ("Dockerfile", "options"))
    texts = (open(path, encoding="utf-8").read() for path in paths if os.path.exists(path))
    return any("SOURCE_DATE_EPOCH=" in text for text in texts)


def describe_times(image):
    """Of a build that sets them: when the image and its entries of the history were made."""
    return {
        "created": image.image.get("created"),
        "history": [entry.get("created") for entry in image.image["history"]],
    }


def describe_error(log):
    """What is written down of a build that failed: the message, and the excerpts if there are any."""
    prefix = r"^error: (?:failed to build: )?(?:failed to solve: )?"
    message = re.search(prefix + r"(.*)$", log, re.M | re.I)
    if message is None:
        raise ValueError(f"no error message in:\n{log}")
    # The name of a snapshot says nothing, and it is another one in every build.
    text = re.sub(r"of ref [a-z0-9]+::[a-z0-9]+", "of ref", message[1].strip())
    text = re.sub(r"/\S*/buildkit\d+/", "…/", text)  # where its snapshot was mounted
    document = {"error": text}
    excerpts = re.findall(r"^Dockerfile:\d+\n-{20}\n(?:.*\n)*?-{20}\n", log, re.M)
    if excerpts:
        # BuildKit may show the same place twice.
        lines = "".join(dict.fromkeys(excerpts)).splitlines()
        document["excerpt"] = [line[:200] for line in lines]
    return document


def prepare(case, folder):
    """Copies a case, makes its modes the same everywhere, and lets it set up its context."""
    shutil.copytree(os.path.join(GOLDEN, case), folder, symlinks=True)
    context = os.path.join(folder, "context")
    os.makedirs(context, exist_ok=True)
    subprocess.run(["chmod", "-R", "u=rwX,go=rX", folder], check=True)
    setup = os.path.join(folder, "setup")
    if os.path.exists(setup):
        subprocess.run(["sh", "-eu", setup], cwd=context, check=True)


class Servers:
    """Serves what cases have in `served`: files over HTTP, and repositories over git's protocol."""

    def __init__(self, scratch):
        handler = functools.partial(QuietHandler, directory=scratch)
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.git_port = free.getsockname()[1]
        git = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"]
        git += [f"--port={self.git_port}", f"--base-path={scratch}", scratch]
        self.git = subprocess.Popen(git, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.git.terminate()
        self.git.wait()

    def options_of(self, folder):
        """The lines of `options`, with addresses for `{http}` and `{git}`."""
        path = os.path.join(folder, "options")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            text = file.read()
        served = os.path.basename(folder) + "/served"
        text = text.replace("{http}", f"http://127.0.0.1:{self.http.server_port}/{served}")
        text = text.replace("{git}", f"git://127.0.0.1:{self.git_port}/{served}")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def anonymous(self, document):
        """The same without the ports, which are others in every run."""
        text = json.dumps(document)
        for port in (self.http.server_port, self.git_port):
            text = text.replace(f"127.0.0.1:{port}", "127.0.0.1")
        return json.loads(text)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def dockerfile_of(folder, options):
    """The path of the Dockerfile; `None` where the program has to find it in the context."""
    named = [option.split("=", 1)[1] for option in options if option.startswith("--file=")]
    if named:
        return named[-1]
    return "Dockerfile" if os.path.exists(os.path.join(folder, "Dockerfile")) else None


def make_base(folder):
    """The busybox that the cases are built on."""
    subprocess.run([os.path.join(SCRIPTS, "stand-ins"), folder, "busybox"], check=True)
    return Layout(os.path.join(folder, "busybox"))


def all_cases():
    return sorted(name for name in os.listdir(GOLDEN) if name.startswith("L-"))
