/*
 * table.h - what is in a data set, in two files beside its shards.
 *
 *   index.jsonl   a line for each item, in the order of the shards and of the
 *                 names in them: what its ID.json says, and the shard it is in;
 *                 of an item that failed its id, shard and status
 *   table.csv     the same, the main columns
 *
 * *Local*.
 */
#ifndef WEFT_LAUNCH_TABLE_H
#define WEFT_LAUNCH_TABLE_H

#include "launch/shelf.h"

/* All of shards 0 .. shards - 1 are on the shelf. */
weft_status weft_table_write(const weft_shelf *s, int shards);

#endif
