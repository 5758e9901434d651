// SPDX-License-Identifier: GPL-2.0
/*
 * Who polls a context: a wait queue, and a tick at which they look again. Nothing says
 * when the stack is done with a page, so somebody has to look; the tick wakes those who
 * wait, and they look themselves, in their own time. It does not start itself again:
 * whoever looks and finds nothing starts it.
 */
#include <linux/jiffies.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/wait.h>

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

/*
 * If anybody waits, the tick comes soon; a tick that is on its way stays as it is. Who
 * was added before is seen here or has seen what the caller did (wq_has_sleeper()).
 */
void zcio_waiters_look_soon(struct zcio_waiters *w)
{
	if (wq_has_sleeper(&w->head))
		timer_reduce(&w->tick, jiffies + msecs_to_jiffies(TICK_MS));
}
