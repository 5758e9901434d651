// SPDX-License-Identifier: GPL-2.0
/* Relays by a BPF sockmap: what comes to one leg is redirected to the other (sockmap.bpf.c). */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "relay.h"

/* Under the port of @of's other end. */
static void put(int map, int of, int socket)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	uint64_t value = socket;
	uint32_t port;

	if (getpeername(of, (struct sockaddr *)&peer, &len))
		die("getpeername");
	port = ntohs(peer.sin_port);
	if (bpf_map_update_elem(map, &port, &value, BPF_NOEXIST))
		die("putting a socket into the sockmap");
}

/* It stays until this process ends. */
static int program_load(void)
{
	struct bpf_program *program;
	struct bpf_object *object;
	char path[PATH_MAX];
	int map;

	beside("sockmap.bpf.o", path, sizeof(path));
	object = bpf_object__open_file(path, NULL);
	if (!object || bpf_object__load(object))
		die(path);
	program = bpf_object__find_program_by_name(object, "to_other");
	map = bpf_object__find_map_fd_by_name(object, "others");
	if (!program || map < 0)
		die("the sockmap program's parts");
	if (bpf_prog_attach(bpf_program__fd(program), map, BPF_SK_SKB_STREAM_VERDICT, 0))
		die("attaching the sockmap program");
	return map;
}

/* Nobody counts what is moved; the sink knows that it has all. Nor is it told what was copied. */
void relay_by_sockmap(struct bench *b)
{
	int map = program_load();

	for (unsigned int i = 0; i < b->connections; i++) {
		put(map, from_source(b, i), to_sink(b, i));
		put(map, to_sink(b, i), from_source(b, i));
	}
	bench_start(b);
	relay_wait(b);
	bench_stop(b);
	b->moved = b->bytes;
}
