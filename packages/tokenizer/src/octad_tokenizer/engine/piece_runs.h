/* Runs: counted pieces in a file, sorted, so that more of them can be merged than fit into memory. */
#ifndef OCTAD_PIECE_RUNS_H
#define OCTAD_PIECE_RUNS_H

#include "piece_counts.h"

/* Write all pieces to a file descriptor, by hash, then length, then bytes. The table is empty afterwards. */
OCTAD_HIDDEN enum octad_status octad_run_write(struct octad_counts *counts, int file);

/* Read `count` runs from the beginnings of their files and give each piece once, with its whole count. */
typedef enum octad_status (*octad_take_piece)(void *context, const uint8_t *piece, size_t length, uint64_t count);
OCTAD_HIDDEN enum octad_status octad_runs_merge(const int *files, size_t count, octad_take_piece take, void *context);

/* Make one run of `count`, so that there are fewer open files. */
OCTAD_HIDDEN enum octad_status octad_runs_join(const int *files, size_t count, int into);

#endif
