// SPDX-License-Identifier: GPL-2.0
/*
 * Gathering references to the pages that received bytes lie in.
 */
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <linux/slab.h>

#include "splice_batch.h"
#include "splice_party.h"

struct zcio_batch *zcio_batch_alloc(void)
{
	struct zcio_batch *b = kmalloc(sizeof(*b), GFP_KERNEL | __GFP_NOWARN);

	if (b) {
		b->count = 0;
		b->page = NULL;
	}
	return b;
}

void zcio_batch_clear(struct zcio_batch *b)
{
	for (u32 i = 0; i < b->count; i++)
		put_page(b->pieces[i].bv_page);
	b->bytes = 0;
	b->count = 0;
	b->copied = 0;
	b->may_change = false;
}

void zcio_batch_free(struct zcio_batch *b)
{
	zcio_batch_clear(b);
	if (b->page)
		put_page(b->page);
	kfree(b);
}

/* Do the bytes follow those of the last piece, in its folio? */
static bool follows(const struct zcio_batch *b, struct page *page, u32 offset)
{
	const struct bio_vec *last;

	if (!b->count || (b->copied >> (b->count - 1) & 1))
		return false;
	last = &b->pieces[b->count - 1];
	return page_folio(page) == page_folio(last->bv_page) &&
	       page_to_pfn(page) * PAGE_SIZE + offset ==
	       page_to_pfn(last->bv_page) * PAGE_SIZE + last->bv_offset + last->bv_len;
}

/* Adds a piece within one folio; false if there is no room. */
static bool add(struct zcio_batch *b, struct page *page, u32 offset, u32 len, bool copied)
{
	if (!copied && follows(b, page, offset)) {
		b->pieces[b->count - 1].bv_len += len;
	} else {
		if (b->count == ZCIO_PIECES)
			return false;
		get_page(page);
		b->pieces[b->count] = (struct bio_vec) {
			.bv_page = page, .bv_offset = offset, .bv_len = len,
		};
		b->copied |= (u64)copied << b->count++;
	}
	b->bytes += len;
	return true;
}

/* Adds @len bytes of pages that lie one behind the other. Returns how many. */
static int add_run(struct zcio_batch *b, struct page *page, u32 offset, u32 len)
{
	u32 done = 0;

	page += offset >> PAGE_SHIFT;
	offset = offset_in_page(offset);
	while (done < len) {
		struct folio *folio = page_folio(page);
		u32 inside = folio_size(folio) - folio_page_idx(folio, page) * PAGE_SIZE - offset;
		u32 n = min(len - done, inside);

		if (!add(b, page, offset, n, false))
			break;
		/* Of a file, or of a process: the mark that says so may have been lost. */
		if (READ_ONCE(folio->mapping))
			b->may_change = true;
		done += n;
		page += (offset + n) >> PAGE_SHIFT;
		offset = offset_in_page(offset + n);
	}
	return done;
}

/* The same with a copy of them. -ENOMEM if not even one byte could be. */
int zcio_batch_copy(struct zcio_batch *b, struct sk_buff *skb, u32 offset, u32 len)
{
	u32 done = 0;

	while (done < len && b->count < ZCIO_PIECES) {
		u32 n;

		if (b->page && b->used == PAGE_SIZE) {
			put_page(b->page);
			b->page = NULL;
		}
		if (!b->page) {
			b->page = alloc_page(GFP_KERNEL | __GFP_NOWARN);
			if (!b->page)
				return done ?: -ENOMEM;
			b->used = 0;
		}
		n = min_t(u32, len - done, PAGE_SIZE - b->used);
		if (skb_copy_bits(skb, offset + done, page_address(b->page) + b->used, n))
			return done ?: -EFAULT;
		if (!add(b, b->page, b->used, n, true))
			break;
		b->used += n;
		done += n;
	}
	return done;
}

/*
 * Bytes beside the headers. As in skb_splice_bits(): in a page of their own if the head is
 * one and no clone has it too; else, in memory of the slab allocator, they have to be copied.
 */
static int add_linear(struct zcio_batch *b, struct sk_buff *skb, u32 offset, u32 len)
{
	void *data = skb->data + offset;

	if (skb_head_is_locked(skb) || skb_zcopy(skb))
		return zcio_batch_copy(b, skb, offset, len);
	return add_run(b, virt_to_page(data), offset_in_page(data), len);
}

/* Adds @len bytes of @skb, which they are in. Returns how many. */
int zcio_batch_add(struct zcio_batch *b, struct sk_buff *skb, u32 offset, u32 len)
{
	u32 start = skb_headlen(skb), done = 0;
	struct sk_buff *child;
	int n;

	if (skb_has_shared_frag(skb))
		b->may_change = true;
	if (offset < start) {
		u32 want = min(len, start - offset);

		n = add_linear(b, skb, offset, want);
		if (n < (int)want)
			return n;
		done = n;
	}
	for (int i = 0; i < skb_shinfo(skb)->nr_frags && done < len; i++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];
		u32 size = skb_frag_size(frag), at = offset + done;

		if (at < start + size) {
			u32 want = min(len - done, start + size - at);

			if (skb_zcopy(skb) || !sendpage_ok(skb_frag_page(frag)))
				n = zcio_batch_copy(b, skb, at, want);
			else
				n = add_run(b, skb_frag_page(frag),
					    skb_frag_off(frag) + at - start, want);
			if (n < 0)
				return done ?: n;
			done += n;
			if (n < (int)want)
				return done;
		}
		start += size;
	}
	skb_walk_frags(skb, child) {
		u32 at = offset + done;

		if (done == len)
			break;
		if (at < start + child->len) {
			u32 want = min(len - done, start + child->len - at);

			n = zcio_batch_add(b, child, at - start, want);
			if (n < 0)
				return done ?: n;
			done += n;
			if (n < (int)want)
				return done;
		}
		start += child->len;
	}
	return done;
}
