/* tokenizer_folder.c - which files of a folder are a tokenizer. */
#include <stdlib.h>

#include "core/io/file.h"
#include "core/io/path.h"
#include "core/text/tokenizer.h"

enum { MOST_FILE_BYTES = 64 << 20 };

/* *json stays NULL where the file is not there, and may be. */
static weft_status read_json(const char *folder, const char *name, bool needed,
                             weft_json **json)
{
    char path[WEFT_PATH];

    WEFT_TRY(weft_path_join(folder, name, path, WEFT_PATH));
    if (!needed && !weft_path_exists(path)) return WEFT_OK;
    return weft_json_read(path, json);
}

static weft_status read_configs(const char *folder, weft_json **config,
                                weft_json **map)
{
    WEFT_TRY(read_json(folder, "tokenizer_config.json", false, config));
    return read_json(folder, "special_tokens_map.json", false, map);
}

static weft_status refuse_added(const char *folder)
{
    char path[WEFT_PATH];

    WEFT_TRY(weft_path_join(folder, "added_tokens.json", path, WEFT_PATH));
    if (!weft_path_exists(path)) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "%s: tokens that were added to the vocabulary are not "
                     "supported",
                     path);
}

/* vocab.json with merges.txt; *merges is owned. */
static weft_status read_two(const char *folder, char path[WEFT_PATH],
                            weft_json **vocab, char **merges, size_t *bytes)
{
    WEFT_TRY(read_json(folder, "vocab.json", true, vocab));
    WEFT_TRY(weft_path_join(folder, "merges.txt", path, WEFT_PATH));
    return weft_file_read(path, MOST_FILE_BYTES, merges, bytes);
}

/* Where there are both, the older files. */
static weft_status open_clip(const char *folder, weft_tokenizer **t)
{
    weft_json *vocab = NULL, *config = NULL, *map = NULL, *whole = NULL;
    char path[WEFT_PATH], *merges = NULL;
    weft_tokenizer_files f = {.merges_name = path};
    weft_status st = refuse_added(folder);

    if (st == WEFT_OK)
        st = weft_path_join(folder, "vocab.json", path, WEFT_PATH);
    if (st == WEFT_OK && !weft_path_exists(path))
        st = read_json(folder, "tokenizer.json", false, &whole);
    if (st == WEFT_OK && !whole)
        st = read_two(folder, path, &vocab, &merges, &f.merges_bytes);
    if (st == WEFT_OK) st = read_configs(folder, &config, &map);
    f.vocab = vocab, f.config = config, f.map = map, f.merges = merges;
    f.whole = whole;
    if (st == WEFT_OK) st = weft_tokenizer_create(&f, t);
    free(merges);
    weft_json_free(vocab);
    weft_json_free(config);
    weft_json_free(map);
    weft_json_free(whole);
    return st;
}

static weft_status open_t5(const char *folder, const char *path,
                           weft_tokenizer **t)
{
    weft_json *added = NULL, *config = NULL, *map = NULL;
    weft_tokenizer_files f = {.spiece_name = path};
    char *spiece = NULL;
    weft_status st = read_json(folder, "added_tokens.json", false, &added);

    if (st == WEFT_OK) st = read_configs(folder, &config, &map);
    if (st == WEFT_OK)
        st = weft_file_read(path, MOST_FILE_BYTES, &spiece, &f.spiece_bytes);
    f.added = added, f.config = config, f.map = map, f.spiece = spiece;
    if (st == WEFT_OK) st = weft_tokenizer_create(&f, t);
    free(spiece);
    weft_json_free(added);
    weft_json_free(config);
    weft_json_free(map);
    return st;
}

weft_status weft_tokenizer_open(const char *folder, weft_tokenizer **t)
{
    char path[WEFT_PATH];

    WEFT_TRY(weft_path_join(folder, "spiece.model", path, WEFT_PATH));
    return weft_path_exists(path) ? open_t5(folder, path, t)
                                  : open_clip(folder, t);
}
