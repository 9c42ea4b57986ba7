#!/bin/sh
# Data sets: the same shards for any ranks, batches and claims, each picture as
# `weft sample` draws it; going on, and what is refused; damage; failures.
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"
: "${PIPELINE:?}"

rm -rf ./*

# Pictures of 8x8 pixels by formula: what is tested is around them.
cat >toy.yaml <<'EOF'
models:
  toy:
    kind: analytic
    shape: [3, 8, 8]
    mixture: [ { weight: .5, mean: -.5, std: .3 }, { weight: .5, mean: .5, std: .3 } ]
sample: { steps: 4, width: 8, height: 8 }
run: { threads: 1 }
EOF
i=0
while [ $i -lt 23 ]; do
    steps=
    [ $((i % 3)) = 1 ] && steps=', "steps": 6, "solver": "euler"'
    echo "{\"id\": \"item-$i\", \"seed\": $((i * 7))$steps}"
    i=$((i + 1))
done >items.jsonl

dataset() { # RANKS DIR ARGUMENT...
    n=$1 dir=$2
    shift 2
    ranks "$n" "$WEFT" dataset toy.yaml dataset.manifest=items.jsonl \
        dataset.shard_size=5 output.dir="$dir" "$@"
}

# no CODE TEXT DIR ARGUMENT...: a single rank is refused, for that reason
no() {
    want=$1 text=$2 dir=$3
    shift 3
    refused "$want" "$text" "$WEFT" dataset toy.yaml \
        dataset.manifest=items.jsonl dataset.shard_size=5 output.dir="$dir" "$@"
}

sums() { (cd "$1" && sha256sum 0*.tar); }

same_shards() { # DIR LIKE
    sums "$1" >is.txt
    sums "$2" >like.txt
    cmp is.txt like.txt || fail "shards of $1 and $2 differ"
    cmp "$1/index.jsonl" "$2/index.jsonl" || fail "index of $1 and $2 differ"
    cmp "$1/table.csv" "$2/table.csv" || fail "table of $1 and $2 differ"
}

# ---- the same shards, whoever makes them ------------------------------------
dataset 1 one run.batch=1
[ "$(sums one | wc -l)" = 5 ] || fail "not 5 shards"
[ "$(wc -l <one/index.jsonl)" = 23 ] || fail "not 23 items"
for n in 1 2 3 5; do
    dataset $n "by$n" run.batch=4 2>by$n.txt
    same_shards "by$n" one
done
# by a rank that makes one and leaves the rest to others, in slices
for slice in 1/2 0/2; do dataset 1 slices dataset.slice=$slice; done
same_shards slices one
# and a plan counts the items of its slice
for want in 23: 10:dataset.slice=1/2; do
    "$WEFT" plan toy.yaml dataset.manifest=items.jsonl dataset.shard_size=5 \
        output.dir=x ${want#*:} >plan.txt
    grep -q "^images *${want%%:*}, .* 4 steps" plan.txt || fail "items of $want"
done
plans() { # LINE...: all of them
    for line in "$@"; do
        grep -q "^ *$line" plan.txt || fail "not \"$line\": $(cat plan.txt)"
    done
}
plans 'items *of 2 kinds; .* line 1 of items.jsonl' '4 (line 1) to 6 steps (line 2)'
# ... and is of the first, whatever the config says
cat >first.jsonl <<'EOF'
{"id": "a", "seed": 1, "steps": 9}
{"id": "b", "seed": 2}
EOF
"$WEFT" plan toy.yaml dataset.manifest=first.jsonl output.dir=x >plan.txt
plans 'images *2, .* 9 steps' '4 (line 2) to 9 steps (line 1)'
echo '{"id": "c", "seed": 2, "steps": 0}' >>first.jsonl
refused 2 "first.jsonl:3: " "$WEFT" plan toy.yaml dataset.manifest=first.jsonl \
    output.dir=x
# the memory of the largest items is what a data set of these alone takes
printf '%s\n' '{"id": "a", "seed": 1, "width": 64, "height": 64}' \
    '{"id": "b", "seed": 2, "width": 320, "height": 256}' \
    '{"id": "c", "seed": 3, "width": 128, "height": 128, "steps": 3}' >sizes.jsonl
grep '"b"' sizes.jsonl >large.jsonl
grep '"a"' sizes.jsonl >small.jsonl
sed -n '/^models:/,/null_label/p' "$configs/dataset.yaml" |
    sed "s,\.\./models,$WEFT_SOURCE_DIR/models," >sizes.yaml
of() { # MANIFEST KEY=VALUE...
    manifest=$1
    shift
    "$WEFT" plan sizes.yaml dataset.manifest="$manifest" dataset.shard_size=4 \
        output.dir=x sample.label=1 --ranks 2 "$@"
}
takes() { # MANIFEST: the most that a rank does, MiB
    of "$1" | sed -n 's/^[0-9].* = \([0-9.]*\)$/\1/p' | sort -n | tail -1
}
of sizes.jsonl >plan.txt
plans "memory *of a rank: at most $(takes large.jsonl) MiB for the largest items \
(line 2, 320 x 256), $(takes small.jsonl) for those shown"
seconds() { # MANIFEST: of sampling
    of "$1" --ranks 1 | sed -n 's/^turns .* about \([0-9.e+-]*\) s of sampling.*/\1/p'
}
cat large.jsonl large.jsonl | sed '1s/"b"/"d"/;1s/2/4/' >twice.jsonl
"$PYTHON" -c "import sys; sys.exit(not 1.9 < $(seconds twice.jsonl) / \
$(seconds large.jsonl) < 2.1)" || fail "seconds of two items and of one"
of sizes.jsonl --json | grep -q '"largest": {"line": 2, "width": 320,' ||
    fail "no largest item in the plan"
refused 2 "sizes.jsonl:2: sizes.yaml: run.memory" "$WEFT" plan sizes.yaml \
    output.dir=x sample.label=1 dataset.manifest=sizes.jsonl run.memory=0.03
# with one image split over two ranks each
dataset 4 split parallel.patches=2
same_shards split one

# ---- more kinds than a rank has at once, texts ------------------------------
i=0
while [ $i -lt 40 ]; do
    caption=
    [ $((i % 4)) = 1 ] && caption=', "caption": "no. '$i', a \"toy\""'
    echo "{\"id\": \"k-$i\", \"seed\": $((i / 2)), \"eta\": 0.$((10 + i % 20))$caption}"
    i=$((i + 1))
done >many.jsonl
many() { # RANKS DIR ARGUMENT...
    n=$1 dir=$2
    shift 2
    ranks "$n" "$WEFT" dataset toy.yaml dataset.manifest=many.jsonl \
        dataset.shard_size=20 output.dir="$dir" "$@"
}
many 1 many1
many 3 many3 run.batch=4 2>many.txt
same_shards many3 many1
many 2 many2 parallel.patches=2 dataset.format=folder
tar xf many1/000001.tar k-33.png k-33.txt
same_file many2/000001/k-33.png k-33.png
"$WEFT" sample toy.yaml sample.seed=16 sample.eta=0.23 output.image=s33.png
same_file s33.png k-33.png
[ "$(cat k-33.txt)" = 'no. 33, a "toy"' ] || fail "k-33.txt"
[ "$(tar tf many1/000001.tar | grep -c 'txt$')" = 5 ] || fail "not 5 captions"
grep -q '^k-33,.*,"no. 33, a ""toy""",000001.tar,done$' many1/table.csv ||
    fail "no caption in the table"
grep -q '"id":"k-33",.*"caption":"no. 33, a \\"toy\\"",' many1/index.jsonl ||
    fail "no caption in the index"
echo '{"id": "a", "seed": 1, "prompt": "a tree"}' >other.jsonl
no 2 'other.jsonl:1: ' x dataset.manifest=other.jsonl
grep -q 'takes no text' out.txt || fail "does not say that it takes no text"

# ---- prompts ----------------------------------------------------------------
# Nearly every item has words of its own: they share batches with each other,
# and one text encoder, which is loaded once. Two are longer than one chunk.
"$PIPELINE" "$WEFT_SOURCE_DIR/tests/golden/pipe_sd15.safetensors" model >sd.yaml
long=$(printf 'a (large:1.2) dog, %.0s' $(seq 20))
cat >prompts.jsonl <<EOF
{"id": "a", "seed": 1, "prompt": "a cat"}
{"id": "b", "seed": 1, "prompt": "a \"dog\", 8k"}
{"id": "c", "seed": 2, "prompt": "a cat", "negative_prompt": "rain", "caption": "c"}
{"id": "d", "seed": 2, "prompt": "$long"}
{"id": "e", "seed": 1, "prompt": "one\nand \"two\""}
{"id": "f", "seed": 1, "prompt": "a [tree]"}
{"id": "g", "seed": 3, "prompt": "a house"}
{"id": "h", "seed": 3, "prompt": "a house", "negative_prompt": "$long"}
{"id": "i", "seed": 4, "prompt": "a cat"}
EOF
words() { # RANKS DIR ARGUMENT...
    n=$1 dir=$2
    shift 2
    ranks "$n" "$WEFT" dataset sd.yaml dataset.manifest=prompts.jsonl \
        sample.steps=2 sample.prompt_syntax=weighted dataset.shard_size=5 \
        output.dir="$dir" run.threads=1 "$@"
}
words 1 words run.batch=1 output.report=words.jsonl
words 1 words4 run.batch=4
words 2 words2 run.batch=3
words 3 words3 run.batch=2
words 5 words5 run.batch=4 parallel.patches=5 output.report=words5.jsonl
for dir in words4 words2 words3 words5; do same_shards $dir words; done
grep -q '"encoders_loaded": 1, "texts_read": 13,' words.jsonl ||
    fail "texts are read anew: $(grep summary words.jsonl)"
grep -Eq '"texts_read": (9|1[0-3]),' words5.jsonl ||
    fail "texts are counted by all who read them: $(grep summary words5.jsonl)"
word() { # NAME ARGUMENT...
    name=$1
    shift
    "$WEFT" sample sd.yaml sample.steps=2 sample.prompt_syntax=weighted \
        output.image="$name" "$@"
}
word dog.png sample.seed=1 sample.prompt='a "dog", 8k'
word cat.png sample.seed=2 sample.prompt='a cat' sample.negative_prompt=rain
word long.png sample.seed=2 sample.prompt="$long"
word two.png sample.seed=1 "sample.prompt=one
and \"two\""
for shard in words/00000*.tar; do tar xf "$shard"; done
same_file b.png dog.png
same_file c.png cat.png
same_file d.png long.png
same_file e.png two.png
"$WEFT" sample e.png output.image=two.png
same_file e.png two.png
[ "$(cat b.txt c.txt)" = 'a "dog", 8kc' ] || fail "texts: $(cat b.txt c.txt)"
[ "$(cat e.txt)" = "$(printf 'one\nand "two"')" ] || fail "texts: $(cat e.txt)"
"$PYTHON" - <<'EOF' || fail "the table does not have the texts"
import csv, json
with open("words/table.csv", newline="") as f:
    rows = {r["id"]: r for r in csv.DictReader(f)}
assert rows["b"]["prompt"] == 'a "dog", 8k', rows["b"]
assert rows["e"]["prompt"] == rows["e"]["caption"] == 'one\nand "two"', rows["e"]
with open("words/index.jsonl") as f:
    lines = [json.loads(line) for line in f]
assert lines[4]["prompt"] == 'one\nand "two"', lines[4]
EOF
# by model: of those that an item does not name, its prompt
cat >two.yaml <<'EOF'
models: { one: { pipeline: model }, two: { pipeline: model } }
sample: { method: average, steps: 2, guidance: 3, width: 64, height: 64,
  prompts: { one: "a tree" } , prompt: "a lake" }
dataset: { manifest: two.jsonl, shard_size: 4 }
run: { threads: 1 }
EOF
cat >two.jsonl <<'EOF'
{"id": "a", "seed": 1, "prompts": {"one": "a cat", "two": "rain"}}
{"id": "b", "seed": 2, "prompts": {"two": "a cat", "one": "snow"}}
{"id": "c", "seed": 3, "prompt": "a house"}
{"id": "d", "seed": 4, "prompt": "a cow"}
EOF
"$WEFT" dataset two.yaml output.dir=two run.batch=2 output.report=two.json
grep -q '"encoders_loaded": 1,' two.json || fail "loaded again: $(cat two.json)"
tar xf two/000000.tar
"$WEFT" sample two.yaml sample.seed=2 output.image=b2.png \
    'sample.prompts={one: "snow", two: "a cat"}'
"$WEFT" sample two.yaml sample.seed=4 output.image=d2.png sample.prompt='a cow'
same_file b.png b2.png
same_file d.png d2.png
grep -q '^b,.*"{""one"":""snow"",""two"":""a cat""}"' two/table.csv ||
    fail "no prompts in the table: $(cat two/table.csv)"
# not too long for the index, nor too large for a node
refused 2 'ID.json, at most' "$WEFT" dataset sd.yaml output.dir=x \
    dataset.items.seeds=1 sample.prompt="$(printf 'word%.0s' $(seq 13000))"
echo '{"id": "a", "seed": 1, "width": 65536, "height": 65536}' >other.jsonl
refused 2 'other.jsonl:1: items of 65536 x 65536 would take' "$WEFT" dataset \
    sd.yaml output.dir=x dataset.manifest=other.jsonl sample.prompt=a

# ---- members ----------------------------------------------------------------
tar tf one/000000.tar >names.txt
LC_ALL=C sort names.txt | cmp - names.txt || fail "members are not sorted"
[ "$(wc -l <names.txt)" = 10 ] || fail "not two members an item"
tar xf one/000001.tar item-6.png item-7.png item-7.json
"$WEFT" sample toy.yaml sample.seed=42 output.image=s42.png
same_file s42.png item-6.png
"$WEFT" sample toy.yaml sample.seed=49 sample.steps=6 sample.solver=euler \
    output.image=s49.png output.latents=s49.safetensors
same_file s49.png item-7.png
grep -q '"id":"item-7",.*"steps":6,.*"seed":49,' item-7.json || fail "item-7.json"
dataset 2 folder dataset.format=folder dataset.latents=true
same_file folder/000001/item-7.png s49.png
same_file folder/000001/item-7.latent.safetensors s49.safetensors

# ---- going on ---------------------------------------------------------------
rm one/000003.json one/000004.json one/000004.tar one/index.jsonl
dataset 2 one 2>again.txt
same_shards one by1
grep -q ' 8 items made, 0 of 5 shards left' again.txt || fail "made others again"
printf 'X' | dd of=one/000002.tar bs=1 seek=600 conv=notrunc 2>/dev/null
refused 1 "000002.tar: its contents have changed" "$WEFT" inspect one --verify
dataset 2 one dataset.verify=true 2>again.txt
grep -q 'shard 000002 is made again' again.txt || fail "damage is not found"
same_shards one by1
"$WEFT" inspect one --verify >inspect.txt
grep -q '5 of 5 shards done' inspect.txt || fail "inspect: not done"
head -c 100 one/000001.tar >short && mv short one/000001.tar
echo '{' >one/000000.json
dataset 2 one 2>again.txt
same_shards one by1
[ -s one/index.html ] || fail "no contact sheet"
# nobody knows what shards without a card are of
mv one/dataset.json card.json
no 2 "shards of a data set that nobody knows" one
mv card.json one/dataset.json
# what is behind a link, or in a folder of a shard's, is somebody else's
mkdir victim
touch victim/mine
rm -r folder/000001 folder/000001.json
ln -s ../victim folder/000001
no 1 "is not a folder that weft made" folder dataset.format=folder \
    dataset.latents=true
rm folder/000001
mkdir -p folder/000001/other
no 1 "holds other, which weft did not put there" folder dataset.format=folder \
    dataset.latents=true
for theirs in victim/mine folder/000001/other; do
    [ -e "$theirs" ] || fail "$theirs is gone"
done

# ---- what is refused --------------------------------------------------------
no 2 'one: config.sample.steps was 4 when this data set was begun and is 5' \
    one sample.steps=5
no 2 'one: shard_size was 5' one dataset.shard_size=6
sed 's/"seed": 21}/"seed": 22}/' items.jsonl >other.jsonl
no 2 'one: manifest was' one dataset.manifest=other.jsonl
sed -n 4p items.jsonl | cat items.jsonl - >other.jsonl
no 2 'other.jsonl:24: id item-3 stands on line 4 too' x \
    dataset.manifest=other.jsonl
echo '{"id": "a", "seed": 1, "stepz": 3}' >other.jsonl
no 2 'other.jsonl:1: ' x dataset.manifest=other.jsonl
grep -q 'unknown key "stepz"' out.txt || fail "does not say what is unknown"
no 2 'nothing would be written' x dataset.images=false
refused 2 'output.dir is missing' "$WEFT" dataset toy.yaml
refused 2 'dataset.manifest or dataset.items is missing' \
    "$WEFT" dataset toy.yaml output.dir=x
[ ! -e x ] || fail "what was refused left a folder"
exec 9>>one/.lock
flock 9
no 2 'another weft dataset works on it' one
exec 9>&-
: >file
no 2 'file: is not a folder' file/x

# ---- what fails is recorded, and tried again --------------------------------
cat >bad.jsonl <<'EOF'
{"id": "a", "seed": 1}
{"id": "b", "seed": 2, "eta": 1}
{"id": "c", "seed": 3}
EOF
bad() {
    "$WEFT" dataset black.yaml dataset.manifest=bad.jsonl output.dir=bad "$@"
}
sed 's/mean: .5, std/mean: -90, std/; s/mean: -.5/mean: -80/' toy.yaml >black.yaml
bad 2>bad.txt
grep -q '2 items made' bad.txt || fail "b was made, or others were not"
grep -q '"failed": 1.*"b": "black"' bad/000000.json || fail "no status of b"
grep -q '"id":"b","shard":"000000.tar","status":"black"' bad/index.jsonl ||
    fail "no status in the index"
cp bad/000000.tar before.tar
bad 2>bad.txt
grep -q 'retry-failed tries them again' bad.txt || fail "no hint"
bad --retry-failed 2>bad.txt
grep -q '1 shards have items that failed' bad.txt || fail "not failed again"
same_file bad/000000.tar before.tar
"$WEFT" inspect bad >inspect.txt
grep -q 'failed: b, black' inspect.txt || fail "inspect does not name b"

# Beside an item that is not a number others of its batch come out right: a
# model in which one class is broken, against one in which none is.
for folder in whole broken; do
    mkdir $folder
    cp -r "$WEFT_SOURCE_DIR/models/demo/strong" $folder/strong
    chmod -R u+w $folder
    sed 's,path: ../models/demo/strong,path: strong,
        s,path: ../models,path: '"$WEFT_SOURCE_DIR/models"',' \
        "$configs/dataset.yaml" >$folder/dataset.yaml
done
"$PYTHON" - broken/strong/diffusion_pytorch_model.safetensors 5 <<'EOF'
import json, struct, sys
with open(sys.argv[1], "r+b") as f:
    (n,) = struct.unpack("<Q", f.read(8))
    tensor = json.loads(f.read(n))["class_embedding.weight"]
    begin, end = tensor["data_offsets"]
    row = (end - begin) // tensor["shape"][0]
    f.seek(8 + n + begin + int(sys.argv[2]) * row)
    f.write(b"\xff" * row)
EOF
demo() { # DIR RANKS ARGUMENT...
    dir=$1 n=$2
    shift 2
    ranks "$n" "$WEFT" dataset "$dir/dataset.yaml" sample.steps=3 run.batch=4 \
        sample.width=64 sample.height=64 dataset.items.labels=4-6 \
        dataset.items.seeds=0-1 output.dir="$dir/out" run.threads=1 "$@"
}
demo whole 1 dataset.format=folder
demo broken 1 dataset.format=folder 2>nan.txt
grep -q '"failed": 2.*"0005-0000000001": "nan"' broken/out/000000.json ||
    fail "what is not a number is not noticed"
for item in 0004-0000000000 0004-0000000001 0006-0000000001; do
    same_file broken/out/000000/$item.png whole/out/000000/$item.png
done
[ ! -e broken/out/000000/0005-0000000000.png ] || fail "not a number is written"
rm -r broken/out
demo broken 2 parallel.patches=2 dataset.format=folder 2>nan.txt
grep -q '"failed": 2' broken/out/000000.json || fail "patches do not agree"
# What is planned only when its turn comes, and then refused.
i=0
while [ $i -lt 261 ]; do
    echo "{\"id\": \"$i\", \"seed\": 1, \"label\": 3, \"guidance\": 1.$((100 + i))}"
    i=$((i + 1))
done >late.jsonl
echo '{"id": "late", "seed": 1, "label": 99, "guidance": 3, "steps": 2}' >>late.jsonl
refused 1 'late.jsonl: items with sample.guidance=3 sample.steps=2 : ' \
    "$WEFT" dataset whole/dataset.yaml sample.steps=1 sample.width=64 \
    sample.height=64 dataset.manifest=late.jsonl dataset.shard_size=2 \
    output.dir=late run.threads=1
grep -q 'sample.label 99 is out of range' out.txt || fail "does not say why"

# once the model is mended the failed items are made, and the others are kept
mv whole/strong/*.safetensors broken/strong/
refused 2 'models.strong was' "$WEFT" dataset broken/dataset.yaml sample.steps=3 \
    sample.width=64 sample.height=64 dataset.items.labels=4-6 \
    dataset.items.seeds=0-1 output.dir=broken/out dataset.format=folder

finish
