// SPDX-License-Identifier: GPL-2.0
/*
 * What drives splices: the work queue that they share, and a timer for each.
 */
#include <linux/jiffies.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/uio.h>
#include <linux/workqueue.h>

#include "splice_party.h"

static struct workqueue_struct *queue, *udp_queue;

struct zcio_alarm {
	struct timer_list timer;
	const struct zcio_splice_calls *calls;
	void *splice;
};

static void ring(struct timer_list *timer)
{
	struct zcio_alarm *alarm = timer_container_of(alarm, timer, timer);

	alarm->calls->woken(alarm->splice, ZCIO_EVENT_ALARM);
}

/* The splice must be there until the alarm is freed. */
struct zcio_alarm *zcio_alarm_alloc(const struct zcio_splice_calls *calls, void *splice)
{
	struct zcio_alarm *alarm = kzalloc(sizeof(*alarm), GFP_KERNEL_ACCOUNT);

	if (alarm) {
		timer_setup(&alarm->timer, ring, 0);
		alarm->calls = calls;
		alarm->splice = splice;
	}
	return alarm;
}

void zcio_alarm_free(struct zcio_alarm *alarm)
{
	timer_shutdown_sync(&alarm->timer);
	kfree(alarm);
}

void zcio_alarm_set(struct zcio_alarm *alarm, u64 ticks)
{
	mod_timer(&alarm->timer, jiffies + min_t(u64, ticks, MAX_JIFFY_OFFSET));
}

u64 zcio_ticks(void)
{
	return get_jiffies_64();
}

/* Never less time than asked for. */
u64 zcio_ticks_of(u64 ns)
{
	return nsecs_to_jiffies64(ns) + 1;
}

/* ---- the module ---- */

/*
 * Work is done where it is queued, which is where the data came in, and as long as data comes:
 * that may be all the time. So it has the priority that programs have, not more: those whose
 * connections these are could take the processor away from all others. It does not keep other
 * work of the processor waiting either (WQ_CPU_INTENSIVE). A few at once are enough, as it waits
 * for socket locks only, and not for long.
 *
 * What is left of UDP for tasks is little, and has a queue of its own, with many at once: in a
 * moment nobody can exclude, sendmsg() waits for the lock of a socket that a program corks.
 */
int zcio_splice_init(void)
{
	queue = alloc_workqueue("zcio_splice", WQ_CPU_INTENSIVE | WQ_PERCPU, 4);
	if (!queue)
		return -ENOMEM;
	udp_queue = alloc_workqueue("zcio_splice_udp", WQ_CPU_INTENSIVE | WQ_PERCPU, 0);
	if (udp_queue)
		return 0;
	destroy_workqueue(queue);
	return -ENOMEM;
}

struct workqueue_struct *zcio_splice_queue(u32 kind)
{
	return kind == ZCIO_SPLICE_UDP ? udp_queue : queue;
}

/*
 * No context is open, so no splice lasts and nothing is hooked. Somebody may still be in a
 * callback of ours: in a softirq, or in a task that lost the processor there.
 */
void zcio_splice_exit(void)
{
	destroy_workqueue(queue);
	destroy_workqueue(udp_queue);
	synchronize_rcu();
	zcio_splice_operations_exit();
}
