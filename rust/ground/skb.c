// SPDX-License-Identifier: GPL-2.0
/*
 * Received bytes: where those of an skb lie, and what can be seen of the pages under
 * them; see shim.h.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/skbuff.h>
#include <net/netmem.h>

#include "shim.h"

/*
 * A pool's page that nobody can write to any more carries this in page_private, for as
 * long as that is so: the allocator clears the field, nothing else uses it in such a page.
 */
static const char sealed_by_zcio;

static u32 page_facts(struct page *page, int maps)
{
	struct folio *folio = page_folio(page);
	u32 facts = 0;

	if (page_has_type(page) || PageReserved(page) || is_zero_folio(folio))
		return ZCIO_FACT_TYPED;
	if (folio_test_anon(folio))
		facts |= ZCIO_FACT_ANON;
	else if (READ_ONCE(folio->mapping))
		facts |= ZCIO_FACT_FILE;
	if (!folio_test_large(folio) && page_private(page) == (unsigned long)&sealed_by_zcio)
		facts |= ZCIO_FACT_OURS;
	if (maps) {
		facts |= ZCIO_FACT_FOLIO_MAPPED;
		if (!IS_ENABLED(CONFIG_PAGE_MAPCOUNT) || atomic_read(&page->_mapcount) >= 0 ||
		    (folio_test_large(folio) && folio_entire_mapcount(folio)))
			facts |= ZCIO_FACT_MAPPED;
	}
	return facts;
}

/*
 * How many references the kernel's own code holds to a page's folio: all but those of
 * its @maps user mappings. A page_pool counts what skbs hold by itself, beside one
 * reference that stands for all of these.
 *
 * The mappings were counted first. If there were none, the result is never too low: a
 * mapping takes its reference before it is counted, and gives it back afterwards.
 */
static s32 kernel_refs(struct page *page, int maps, bool page_pool)
{
	struct folio *folio = page_folio(page);
	int refs = folio_ref_count(folio) - maps;

	if (!page_pool)
		return refs;
	if (refs != 1)
		return INT_MAX;
	return min_t(long, atomic_long_read(&pp_page_to_nmdesc(&folio->page)->pp_ref_count),
		     INT_MAX);
}

/* Bytes from @offset of @page on that lie in one folio, whose facts are the same. */
static u32 left_in_folio(struct page *page, u32 offset)
{
	struct folio *folio = page_folio(page);

	return folio_size(folio) - folio_page_idx(folio, page) * PAGE_SIZE - offset;
}

/*
 * The segments of @skb, whose bytes begin at @base of @head, and of its frag_list: what
 * holds of it (@facts) holds of these too, as a clone shares them unseen.
 */
static u32 segments(struct sk_buff *head, struct sk_buff *skb, u32 base, u32 facts,
		    struct zcio_cursor *cur, struct zcio_seg *segs, u32 max)
{
	u32 start = base, n = 0;
	struct sk_buff *child;
	int i;

	/* Shared: a reader with MSG_PEEK still looks at it. */
	if (skb_cloned(skb) || skb_shared(skb))
		facts |= ZCIO_FACT_CLONED;
	if (skb_has_shared_frag(skb))
		facts |= ZCIO_FACT_SHARED_FRAG;
	if (skb_zcopy(skb))
		facts |= ZCIO_FACT_ZEROCOPY;

	if (cur->offset < start + skb_headlen(skb) && cur->left && n < max) {
		u32 len = min(start + skb_headlen(skb) - cur->offset, cur->left);

		segs[n++] = (struct zcio_seg) {
			.skb = head, .skb_offset = cur->offset, .len = len,
			.facts = facts | ZCIO_FACT_LINEAR,
		};
		cur->offset += len;
		cur->left -= len;
	}
	start += skb_headlen(skb);

	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];
		u32 size = skb_frag_size(frag);

		while (cur->offset < start + size && cur->left && n < max) {
			u32 skip = cur->offset - start;
			u32 at = skb_frag_off(frag) + skip;
			struct page *page = skb_frag_page(frag) + (at >> PAGE_SHIFT);
			u32 len = min3(size - skip, cur->left,
				       left_in_folio(page, offset_in_page(at)));
			struct folio *folio = page_folio(page);
			bool pp = skb->pp_recycle && page_pool_page_is_pp(&folio->page);
			int maps = folio_mapcount(folio);

			smp_rmb(); /* see kernel_refs() */
			segs[n++] = (struct zcio_seg) {
				.skb = head, .skb_offset = cur->offset,
				.page = page, .offset = offset_in_page(at), .len = len,
				.facts = facts | page_facts(page, maps) |
					 (pp ? ZCIO_FACT_PAGE_POOL : 0) |
					 (cur->left < size - skip ? ZCIO_FACT_CUT : 0),
				/* A frag holds a reference to its first folio only. */
				.refs = folio == page_folio(skb_frag_page(frag)) ?
					kernel_refs(page, maps, pp) : INT_MAX,
				.pfn = page_to_pfn(page),
				.folio = folio_pfn(folio),
			};
			cur->offset += len;
			cur->left -= len;
		}
		start += size;
	}

	skb_walk_frags(skb, child) {
		if (cur->offset < start + child->len && cur->left && n < max)
			n += segments(head, child, start, facts, cur, segs + n, max - n);
		start += child->len;
	}
	return n;
}

/*
 * Fills @segs with the next segments of an skb on the queue and moves @cur behind
 * them. Returns how many.
 */
u32 zcio_skb_segments(struct sk_buff *skb, struct zcio_cursor *cur,
		      struct zcio_seg *segs, u32 max)
{
	return segments(skb, skb, 0, 0, cur, segs, max);
}

int zcio_skb_copy(struct sk_buff *skb, u32 offset, struct page *page,
		  u32 page_offset, u32 len)
{
	void *to = kmap_local_page(page);
	int err = skb_copy_bits(skb, offset, to + page_offset, len);

	kunmap_local(to);
	return err;
}

void zcio_page_seal(struct page *page, bool sealed)
{
	set_page_private(page, sealed ? (unsigned long)&sealed_by_zcio : 0);
}

bool zcio_page_sealed(struct page *page)
{
	return page_private(page) == (unsigned long)&sealed_by_zcio;
}
