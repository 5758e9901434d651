// SPDX-License-Identifier: GPL-2.0
/*
 * The observer's half outside the kernel: loads the program, says "ready" on stdout,
 * waits until stdin ends, and writes what was seen.
 *
 *   observe OBJECT DEVICE PORT LIMIT OUTPUT [PROGRAM]
 *
 * Lines of OUTPUT: stream offset, physical page number, offset in the page, length.
 */
#include <errno.h>
#include <linux/types.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "observe.h"

static int fail(const char *what)
{
	fprintf(stderr, "observe: %s: %s\n", what, strerror(errno));
	return 1;
}

static void *global(struct bpf_object *object, const char *section, size_t size)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, section);
	size_t have = 0;
	void *value = map ? bpf_map__initial_value(map, &have) : NULL;

	return have >= size ? value : NULL;
}

static int write_records(const char *name, const struct record *records, size_t count)
{
	FILE *file = fopen(name, "w");
	size_t i;

	if (!file)
		return fail(name);
	for (i = 0; i < count; i++)
		fprintf(file, "%llu %llu %u %u\n", records[i].offset, records[i].pfn,
			records[i].in_page, records[i].len);
	return fclose(file) ? fail(name) : 0;
}

int main(int argc, char **argv)
{
	struct bpf_program *program;
	struct bpf_object *object;
	struct record *records;
	struct config *config;
	struct state *state;
	size_t count;
	char buffer[64];
	int map;

	if (argc != 6 && argc != 7)
		return fprintf(stderr, "usage: observe OBJECT DEVICE PORT LIMIT OUTPUT [PROGRAM]\n"), 2;
	object = bpf_object__open_file(argv[1], NULL);
	if (!object)
		return fail(argv[1]);
	config = global(object, ".rodata", sizeof(*config));
	if (!config)
		return fail("the program has no configuration");
	config->ifindex = if_nametoindex(argv[2]);
	config->port = strtoul(argv[3], NULL, 10);
	config->limit = strtoull(argv[4], NULL, 10);
	if (!config->ifindex)
		return fail(argv[2]);
	if (bpf_object__load(object))
		return fail("cannot load the program");
	state = global(object, ".bss", sizeof(*state));
	program = bpf_object__find_program_by_name(object, argc > 6 ? argv[6] : "packet");
	map = bpf_object__find_map_fd_by_name(object, "records");
	records = mmap(NULL, OBSERVE_RECORDS * sizeof(*records), PROT_READ, MAP_SHARED, map, 0);
	if (!state || records == MAP_FAILED)
		return fail("cannot map the records");
	if (!bpf_program__attach(program))
		return fail("cannot attach the program");
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, buffer, sizeof(buffer)) > 0)
		;
	count = state->records < OBSERVE_RECORDS ? state->records : OBSERVE_RECORDS;
	printf("%llu packets, %zu pieces, %llu lost, %llu payload bytes beside headers\n",
	       state->packets, count, state->records - count, state->linear);
	return write_records(argv[5], records, count);
}
