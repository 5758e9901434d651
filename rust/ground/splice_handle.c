// SPDX-License-Identifier: GPL-2.0
/*
 * Handles: files that belong to one splice each. One can be polled for the splice's end;
 * closing it ends the splice.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "splice.h"

struct handle {
	const struct zcio_handle_calls *calls;
	void *splice;
};

static __poll_t handle_poll(struct file *file, struct poll_table_struct *table)
{
	struct handle *h = file->private_data;

	return h->calls->poll(h->splice, file, table) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int handle_release(struct inode *inode, struct file *file)
{
	struct handle *h = file->private_data;

	h->calls->release(h->splice);
	kfree(h);
	return 0;
}

static const struct file_operations handle_fops = {
	.owner = THIS_MODULE,
	.poll = handle_poll,
	.release = handle_release,
};

/*
 * A file and a number for it, which nobody can see until it is installed. The file has taken
 * over the reference to @splice, unless this fails.
 */
int zcio_handle_new(const struct zcio_handle_calls *calls, void *splice, struct file **file)
{
	struct handle *h = kmalloc(sizeof(*h), GFP_KERNEL_ACCOUNT);
	int fd;

	if (!h)
		return -ENOMEM;
	*h = (struct handle) { .calls = calls, .splice = splice };
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		kfree(h);
		return fd;
	}
	*file = anon_inode_getfile("[zcio-splice]", &handle_fops, h, O_RDWR);
	if (IS_ERR(*file)) {
		kfree(h);
		put_unused_fd(fd);
		return PTR_ERR(*file);
	}
	return fd;
}

void zcio_handle_install(int fd, struct file *file)
{
	fd_install(fd, file);
}

void zcio_handle_abandon(int fd, struct file *file)
{
	put_unused_fd(fd);
	fput(file);
}

/* The splice of a handle, as long as the file is held; NULL if @fd is another kind of file. */
void *zcio_handle_find(int fd, const struct zcio_handle_calls *calls, struct file **file)
{
	struct file *f = fget(fd);
	struct handle *h;

	if (!f)
		return NULL;
	if (f->f_op == &handle_fops) {
		h = f->private_data;
		if (h->calls == calls) {
			*file = f;
			return h->splice;
		}
	}
	fput(f);
	return NULL;
}

void zcio_handle_put(struct file *file)
{
	fput(file);
}
