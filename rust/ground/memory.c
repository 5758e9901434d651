// SPDX-License-Identifier: GPL-2.0
/*
 * Pages, and the mappings that show them; see shim.h.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "shim.h"

/* ---- pages ---- */

/* @zone: plan/dma.rs. In one that is small, it is no surprise when there is no more. */
/*
 * A call can say ENOMEM when its memory cgroup is full, so nobody is killed for it; a
 * fault cannot.
 */
struct page *zcio_page_alloc(u8 zone, bool fault)
{
	gfp_t may_fail = fault ? 0 : __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	static const gfp_t zones[] = { 0, GFP_DMA32 | __GFP_NOWARN, GFP_DMA | __GFP_NOWARN };

	return alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO | may_fail |
			  zones[min(zone, 2)]);
}

u64 zcio_page_pfn(struct page *page)
{
	return page_to_pfn(page);
}

void zcio_page_get(struct page *page)
{
	get_page(page);
}

void zcio_page_put(struct page *page)
{
	put_page(page);
}

int zcio_page_refs(struct page *page)
{
	return page_ref_count(page);
}

/*
 * How many references a page has that are not of its user mappings. Unmapping gives up the
 * mapping before its reference, mapping takes the reference first, and the references are
 * counted first here: so as long as nobody maps the page meanwhile, it is never too few.
 */
int zcio_page_holders(struct page *page)
{
	int refs = page_ref_count(page);

	smp_rmb(); /* see above: the references first */
	return refs - folio_mapcount(page_folio(page));
}

bool zcio_page_mapped(struct page *page)
{
	return folio_mapped(page_folio(page));
}

void zcio_page_clear(struct page *page)
{
	clear_highpage(page);
}

void zcio_page_zero(struct page *page, u32 offset, u32 len)
{
	memzero_page(page, offset, len);
}

void zcio_page_copy(struct page *to, struct page *from, u32 offset, u32 len)
{
	memcpy_page(to, offset, from, offset, len);
}

struct page *zcio_page_nth(struct page *page, u32 n)
{
	return page + n;
}

struct page *zcio_zero_page(void)
{
	return ZERO_PAGE(0);
}

/* ---- mappings ---- */

struct vm_area_struct *zcio_fault_vma(struct vm_fault *vmf)
{
	return vmf->vma;
}

unsigned long zcio_fault_address(struct vm_fault *vmf)
{
	return vmf->address;
}

unsigned long zcio_vma_pgoff(struct vm_area_struct *vma)
{
	return vma->vm_pgoff;
}

void zcio_vma_install(struct vm_area_struct *vma,
		      const struct vm_operations_struct *ops, void *private_data)
{
	vma->vm_ops = ops;
	vma->vm_private_data = private_data;
}

bool zcio_vma_is(struct vm_area_struct *vma, const struct vm_operations_struct *ops)
{
	return vma->vm_ops == ops;
}

void *zcio_vma_private(struct vm_area_struct *vma)
{
	return vma->vm_private_data;
}

void zcio_zap(struct vm_area_struct *vma, unsigned long addr, unsigned long size)
{
	zap_special_vma_range(vma, addr, size);
}

/* A plain page with one mapping and our own reference, and no other. */
static bool only_mapped_here(struct page *page)
{
	struct folio *folio = page_folio(page);

	return !folio_test_large(folio) && !page_has_type(page) && !folio_test_anon(folio) &&
	       !READ_ONCE(folio->mapping) && !page_private(page) &&
	       zcio_page_holders(page) == 1 && folio_mapcount(folio) == 1;
}

/*
 * The pages that lie at @addr of the current process and behind, up to the first that is
 * not there: each with a reference, or NULL if somebody else has it, too. Returns how many.
 */
u32 zcio_pages_in_place(unsigned long addr, u32 n, struct page **pages)
{
	int there = get_user_pages_fast_only(addr, n, 0, pages);

	if (there < 0)
		return 0;
	for (int i = 0; i < there; i++) {
		if (!only_mapped_here(pages[i])) {
			put_page(pages[i]);
			pages[i] = NULL;
		}
	}
	return there;
}
