"""Checks a log of Remit with aics-tlog. It decides what is accepted; this program finds the files.

    log DIR VKEY [SINCE]        all entries, hashes and the checkpoint, and that it grew from an earlier checkpoint
    receipt PROOF LEAF VKEY     one c2sp.org/tlog-proof

Ends with 0 where it accepts, with 1 where it refuses, and with anything else where it could not be asked.
"""

import base64
import pathlib
import sys
import traceback

import aics_tlog

# Not `Exception`: what this program itself does wrong is no refusal.
REFUSALS = (aics_tlog.TileVerificationError, aics_tlog.TileMissingError, ValueError)
NOT_ASKED = 2


class Refused(ValueError):
    pass


def demand(holds, why):
    if not holds:
        raise Refused(why)


def open_note(text, vkey):
    key = aics_tlog.parse_vkey(vkey.read_text().strip())
    result = aics_tlog.verify_checkpoint(aics_tlog.parse_note(text), key, expected_origin=key.name)
    demand(result.ok, result.error)
    return result


def check_log(directory, vkey, since=None):
    reader = aics_tlog.FileSystemTileReader(directory)
    tree = open_note((directory / "checkpoint").read_bytes(), vkey)
    if since is not None:
        old = open_note(since.read_bytes(), vkey)
        demand(old.size <= tree.size, f"{tree.size} entries, and there were {old.size}")
        proven = aics_tlog.VerifiedTileReader(reader, tree.size, tree.root)
        proof = aics_tlog.consistency_proof_from_tiles(proven, old.size, tree.size)
        grown = aics_tlog.verify_consistency(old.size, tree.size, old.root, tree.root, proof)
        demand(grown, "does not begin with the earlier tree")
    aics_tlog.audit_tiles(reader, tree.size, tree.root)
    return f"{tree.size} entries" + (f", grown from {old.size}" if since else "")


def check_receipt(proof, leaf, vkey):
    head, _, note = proof.read_text().partition("\n\n")
    first, index, *path = head.split("\n")
    demand(first == "c2sp.org/tlog-proof@v1" and index.startswith("index "), "not a tlog-proof")
    index, path = int(index.removeprefix("index ")), [base64.b64decode(line, validate=True) for line in path]
    tree = open_note(note.encode(), vkey)
    included = aics_tlog.verify_leaf_inclusion(leaf.read_bytes(), index, tree.size, path, tree.root)
    demand(included, "the proof does not lead to the root")
    return f"entry {index} of {tree.size}"


def main(what, *paths):
    check = {"log": check_log, "receipt": check_receipt}[what]
    try:
        print("accepted:", check(*map(pathlib.Path, paths)))
    except REFUSALS as why:
        print(f"refused: {type(why).__name__}: {why}")
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Exception:
        traceback.print_exc()
        sys.exit(NOT_ASKED)
