/* Memory for tables that are read all over. */
#ifndef OCTAD_TABLE_MEMORY_H
#define OCTAD_TABLE_MEMORY_H

#include <stddef.h>

#include "compiler.h"

/* Zeroed memory, touched at once, in huge pages where Linux has them and the size is worth it: or every look-up would
   have to look up its page as well. `block` is what to free; NULL where memory is lacking. */
OCTAD_HIDDEN void *octad_table_new(size_t size, void **block);

#endif
