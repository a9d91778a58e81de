// Checks a log of Remit with golang.org/x/mod/sumdb, the libraries of Go's own checksum database. They decide what is
// accepted; this program finds the files.
//
// It recomputes every tile instead of reading through tlog.TileHashReader: before release 0.40.0 that one does not
// compare each tile with its parent (CVE-2026-56865), and accepts a changed entry if its tile was changed with it.
//
//	sumdb log DIR VKEY [SINCE]        all entries, hashes and the checkpoint, and that it grew from an earlier checkpoint
//	sumdb receipt PROOF LEAF VKEY     one c2sp.org/tlog-proof
//
// It ends with 0 where they accept, with 1 where they refuse, and with anything else where it could not be asked.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// c2sp.org/tlog-tiles fixes the height, so its paths do not name it.
const height = 8
const width = 1 << height

func main() {
	args := os.Args[1:]
	var said string
	var err error
	switch {
	case len(args) == 3 && args[0] == "log":
		said, err = checkLog(args[1], args[2], "")
	case len(args) == 4 && args[0] == "log":
		said, err = checkLog(args[1], args[2], args[3])
	case len(args) == 4 && args[0] == "receipt":
		said, err = checkReceipt(args[1], args[2], args[3])
	default:
		fmt.Fprintln(os.Stderr, "usage: sumdb log DIR VKEY [SINCE] | sumdb receipt PROOF LEAF VKEY")
		os.Exit(2)
	}
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
	fmt.Println("accepted:", said)
}

func checkLog(dir, vkey, since string) (string, error) {
	verifier := verifier(vkey)
	tree, err := open(filepath.Join(dir, "checkpoint"), verifier)
	if err != nil {
		return "", err
	}
	hashes, err := hashAll(dir, tree)
	if err != nil {
		return "", err
	}
	for _, tile := range tlog.NewTiles(height, 0, tree.N) {
		if err := checkTile(dir, tile, tree.N, hashes); err != nil {
			return "", err
		}
	}
	said := fmt.Sprintf("%d entries", tree.N)
	if since == "" {
		return said, nil
	}
	old, err := open(since, verifier)
	if err != nil {
		return "", fmt.Errorf("the earlier checkpoint: %w", err)
	}
	return fmt.Sprintf("%s, grown from %d", said, old.N), checkGrowth(old, tree, hashes)
}

// stored holds every hash of a tree, in the order of its library.
type stored []tlog.Hash

func (hashes *stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(*hashes)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		found[i] = (*hashes)[index]
	}
	return found, nil
}

// hashAll reads all entries. They must have the root that was signed.
func hashAll(dir string, tree tlog.Tree) (*stored, error) {
	hashes := &stored{}
	for first := int64(0); first < tree.N; first += width {
		if err := hashBundle(dir, first, tree.N, hashes); err != nil {
			return nil, err
		}
	}
	root, err := tlog.TreeHash(tree.N, hashes)
	if err == nil && root != tree.Hash {
		err = errors.New("the entries have another root")
	}
	return hashes, err
}

func hashBundle(dir string, first, size int64, hashes *stored) error {
	tile := tlog.Tile{H: height, N: first / width, W: widthAt(0, first/width, size)}
	path := strings.Replace(path(tile), "tile/0/", "tile/entries/", 1)
	rest, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		return err
	}
	for number := first; number < first+int64(tile.W); number++ {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return fmt.Errorf("%s ends within or before entry %d", path, number)
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		more, err := tlog.StoredHashes(number, rest[2:end], hashes)
		if err != nil {
			return err
		}
		*hashes = append(*hashes, more...)
		rest = rest[end:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%s holds more than the tree", path)
	}
	return nil
}

// checkTile compares a file with what the library puts into such a tile. Tiles that a smaller tree had are not looked at.
func checkTile(dir string, tile tlog.Tile, size int64, hashes *stored) error {
	if tile.W != widthAt(tile.L, tile.N, size) {
		return nil
	}
	expected, err := tlog.ReadTileData(tile, hashes)
	if err != nil {
		return err
	}
	found, err := os.ReadFile(filepath.Join(dir, path(tile)))
	if err != nil {
		return err
	}
	if !bytes.Equal(found, expected) {
		return fmt.Errorf("%s holds other hashes", path(tile))
	}
	return nil
}

// widthAt is the width of a tile in a tree of this size.
func widthAt(level int, index, size int64) int {
	rest := size>>uint(level*height) - index*width
	if rest > width {
		return width
	}
	return int(rest)
}

func checkGrowth(old, tree tlog.Tree, reader tlog.HashReader) error {
	if old.N > tree.N {
		return fmt.Errorf("%d entries, and there were %d", tree.N, old.N)
	}
	if old.N == 0 {
		return nil
	}
	proof, err := tlog.ProveTree(tree.N, old.N, reader)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash)
}

func checkReceipt(proof, leaf, vkey string) (string, error) {
	head, checkpoint, found := strings.Cut(string(read(proof)), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		return "", errors.New("not a tlog-proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return "", err
	}
	var path tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return "", err
		}
		path = append(path, hash)
	}
	tree, err := openNote([]byte(checkpoint), verifier(vkey))
	if err != nil {
		return "", err
	}
	if index < 0 || index >= tree.N {
		return "", fmt.Errorf("entry %d of %d", index, tree.N)
	}
	said := fmt.Sprintf("entry %d of %d", index, tree.N)
	return said, tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(read(leaf)))
}

func open(path string, verifier note.Verifier) (tlog.Tree, error) {
	return openNote(read(path), verifier)
}

// openNote gives the tree of a checkpoint. tlog.ParseTree knows only the checkpoints of Go's own database.
func openNote(text []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(hash) != tlog.HashSize {
		return tlog.Tree{}, errors.New("not the hash of a tree")
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], hash)
	return tree, nil
}

func path(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
}

func verifier(path string) note.Verifier {
	verifier, err := note.NewVerifier(strings.TrimSpace(string(read(path))))
	must(err)
	return verifier
}

// read gives a file that must be there: without it there is nothing to accept or to refuse.
func read(path string) []byte {
	content, err := os.ReadFile(path)
	must(err)
	return content
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
