#!/bin/sh
# Text to image from checkpoints in one file, against what diffusers draws of its
# own conversion of them (tests/golden/one_file.py).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
: "${COMPARE:?}" "${PIPELINE:?}"
rm -rf ./*.png ./*.safetensors ./*.yaml ./*.txt sd1 sd2 sdxl model .weft

for name in sd1 sd2 sdxl; do
    golden=$WEFT_SOURCE_DIR/tests/golden/file_$name.safetensors
    "$PIPELINE" "$golden" $name >$name.yaml
    "$WEFT" sample $name.yaml output.image=$name.png \
        output.latents=$name.safetensors || fail "$name: weft sample"
    printf '%s: ' $name
    "$COMPARE" $name.safetensors "$golden" 2e-4 || fail "$name"
    "$WEFT" inspect $name/all.safetensors >out.txt || fail "inspect $name"
    grep -q "weft can sample with it, given a tokenizer" out.txt ||
        fail "inspect: $(cat out.txt)"
done

# the same bytes on two ranks, and of its parts one by one
ranks 2 "$WEFT" sample sd1.yaml output.latents=b.safetensors \
    2>out.txt || fail "2 ranks: $(cat out.txt)"
same_file b.safetensors sd1.safetensors
file=sd1/all.safetensors
parts='"models": {"it": {"path": "'$file:unet'"}}'
parts="$parts, \"vae\": {\"path\": \"$file:vae\"}"
parts="$parts, \"schedule\": {\"path\": \"$file:scheduler\"}"
parts="$parts, \"text\": {\"encoder\": \"$file:text_encoder\","
sed -e "s|\"pipeline\": \"$file\"|$parts|" -e 's|, "text": {"tok| "tok|' \
    sd1.yaml >parts.yaml
"$WEFT" sample parts.yaml output.latents=b.safetensors ||
    fail "components one by one"
same_file b.safetensors sd1.safetensors

# a control net in one file, beside a model in another
cp "$WEFT_SOURCE_DIR/tests/golden/control_xl.png" .
golden=$WEFT_SOURCE_DIR/tests/golden/file_control.safetensors
"$PIPELINE" "$golden" model >control.yaml
"$WEFT" sample control.yaml output.latents=control.safetensors ||
    fail "control: weft sample"
printf 'control: '
"$COMPARE" control.safetensors "$golden" 2e-4 || fail "control"
ranks 3 "$WEFT" sample control.yaml output.latents=b.safetensors 2>out.txt ||
    fail "3 ranks: $(cat out.txt)"
same_file b.safetensors control.safetensors
"$WEFT" inspect model/control.safetensors >out.txt || fail "inspect a control net"
grep -q "a ControlNet under its authors' names" out.txt || fail "inspect: $(cat out.txt)"

# an image says what it was asked, and is drawn again
"$WEFT" sample sd1.png output.image=again.png || fail "an image drawn again"
same_file again.png sd1.png

# the file is an input; without a tokenizer it is not enough
refused 2 "is a file of a model" "$WEFT" sample sd1.yaml \
    output.latents=sd1/all.safetensors
sed 's|, "text": {[^}]*}||' sd1.yaml >bare.yaml
refused 2 "give text.tokenizer" "$WEFT" plan bare.yaml
cp sd1/all.safetensors sd1/all.ckpt
printf 'PK\3\4' | dd of=sd1/all.ckpt conv=notrunc status=none
refused 2 "is a pickle" "$WEFT" plan sd1.yaml pipeline=sd1/all.ckpt

finish
