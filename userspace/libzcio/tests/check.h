/* SPDX-License-Identifier: MIT */
/* What the parts of the library's test have in common. */
#include <stdio.h>

extern int failed;

#define CHECK(condition) do {						\
	if (!(condition)) {						\
		fprintf(stderr, "%s: line %d: %s\n", __FILE__, __LINE__, #condition);	\
		failed = 1;						\
	}								\
} while (0)

void check_standin(void);
