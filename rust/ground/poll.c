// SPDX-License-Identifier: GPL-2.0
/*
 * Who polls a context: a wait queue, and a tick at which they look again. Nothing says
 * when the stack is done with a page, so somebody has to look; the tick wakes those who
 * wait, and they look themselves, in their own time. It does not start itself again:
 * whoever looks and finds nothing starts it.
 */
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/nodemask.h>
#include <linux/percpu.h>
#include <linux/poll.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/wait.h>
#include <net/hotdata.h>

#include "shim.h"

#define TICK_MS		4

struct zcio_waiters {
	wait_queue_head_t head;
	struct timer_list tick;
};

static void tick(struct timer_list *timer)
{
	struct zcio_waiters *w = timer_container_of(w, timer, tick);

	__wake_up(&w->head, TASK_NORMAL, 0, poll_to_key(EPOLLOUT | EPOLLWRNORM));
}

struct zcio_waiters *zcio_waiters_alloc(void)
{
	struct zcio_waiters *w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);

	if (w) {
		init_waitqueue_head(&w->head);
		timer_setup(&w->tick, tick, 0);
	}
	return w;
}

/* Once the timer is shut down it is not running, and cannot be started any more. */
void zcio_waiters_free(struct zcio_waiters *w)
{
	timer_shutdown_sync(&w->tick);
	kfree(w);
}

void zcio_waiters_add(struct zcio_waiters *w, struct file *file,
		      struct poll_table_struct *table)
{
	poll_wait(file, &w->head, table);
}

/* What they wait for to be readable is so now. */
void zcio_waiters_wake(struct zcio_waiters *w)
{
	wake_up_interruptible_poll(&w->head, EPOLLIN | EPOLLRDNORM);
}

/*
 * If anybody waits, the tick comes soon; a tick that is on its way stays as it is. Who
 * was added before is seen here or has seen what the caller did (wq_has_sleeper()).
 */
void zcio_waiters_look_soon(struct zcio_waiters *w)
{
	if (wq_has_sleeper(&w->head))
		timer_reduce(&w->tick, jiffies + msecs_to_jiffies(TICK_MS));
}

/*
 * A receiver leaves the skbs that it has read to the processor that they came from, which
 * frees them when it next receives something: on a quiet machine never. As
 * skb_defer_node_flush() does, which modules cannot call, for all processors.
 */
void zcio_free_read_skbs(void)
{
	int cpu, node;

	for_each_possible_cpu(cpu) {
		for_each_node(node) {
			struct skb_defer_node *sdn =
				per_cpu_ptr(net_hotdata.skb_defer_nodes, cpu) + node;
			struct llist_node *list;
			struct sk_buff *skb, *next;

			if (llist_empty(&sdn->defer_list))
				continue;
			atomic_long_set(&sdn->defer_count, 0);
			list = llist_del_all(&sdn->defer_list);
			llist_for_each_entry_safe(skb, next, list, ll_node)
				napi_consume_skb(skb, 0);
		}
	}
}
