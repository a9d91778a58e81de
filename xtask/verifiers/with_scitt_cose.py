"""Checks the tree of a log of Remit with scitt-cose, which recomputes RFC 9162 trees. It decides what is accepted; this
program finds the files. It knows no signed notes, so the signature of the checkpoint is not looked at.

    log DIR VKEY [SINCE]        the root of all entries, and that the tree grew from that of an earlier checkpoint
    receipt PROOF LEAF VKEY     the inclusion proof of one c2sp.org/tlog-proof

Ends with 0 where it accepts, with 1 where it refuses, and with anything else where it could not be asked.
"""

import base64
import pathlib
import sys
import traceback

import scitt_cose

NOT_ASKED = 2


class Refused(Exception):
    pass


def demand(holds, why):
    if not holds:
        raise Refused(why)


def parse(note):
    _origin, size, root = note.split("\n")[:3]
    return int(size), base64.b64decode(root, validate=True).hex()


def bundles(directory, size):
    for number in range((size + 255) // 256):
        parts, rest, width = [f"{number % 1000:03}"], number // 1000, min(256, size - number * 256)
        while rest:
            parts.insert(0, f"x{rest % 1000:03}")
            rest //= 1000
        yield directory / "tile" / "entries" / ("/".join(parts) + ("" if width == 256 else f".p/{width}"))


def entries(directory, size):
    for path in bundles(directory, size):
        data, at = path.read_bytes(), 0
        while at < len(data):
            end = at + 2 + int.from_bytes(data[at:at + 2], "big")
            demand(end <= len(data), f"{path.name} ends within an entry")
            yield data[at + 2:end].hex()
            at = end


def check_log(directory, _vkey, since=None):
    size, root = parse((directory / "checkpoint").read_text())
    found = list(entries(directory, size))
    demand(len(found) == size, f"{len(found)} entries, and {size} in the checkpoint")
    demand(scitt_cose.merkle_root(found) == root, "the entries have another root")
    if since is None:
        return f"{size} entries"
    old_size, old_root = parse(since.read_text())
    demand(old_size <= size, f"{size} entries, and there were {old_size}")
    proof = scitt_cose.consistency_proof(found, old_size, size)
    grown = scitt_cose.verify_consistency(old_root, root, old_size, size, proof)
    demand(grown, "does not begin with the earlier tree")
    return f"{size} entries, grown from {old_size}"


def check_receipt(proof, leaf, _vkey):
    head, _, note = proof.read_text().partition("\n\n")
    first, index, *path = head.split("\n")
    demand(first == "c2sp.org/tlog-proof@v1" and index.startswith("index "), "not a tlog-proof")
    index, path = int(index.removeprefix("index ")), [base64.b64decode(line, validate=True).hex() for line in path]
    size, root = parse(note)
    included = scitt_cose.verify_inclusion(leaf.read_bytes().hex(), index, size, path, root)
    demand(included, "the proof does not lead to the root")
    return f"entry {index} of {size}"


def main(what, *paths):
    check = {"log": check_log, "receipt": check_receipt}[what]
    try:
        print("accepted:", check(*map(pathlib.Path, paths)))
    except (Refused, FileNotFoundError) as why:
        print(f"refused: {why}")
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Exception:
        traceback.print_exc()
        sys.exit(NOT_ASKED)
