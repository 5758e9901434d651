/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads: see Kbuild. */
#include "shim.h"
#include "splice.h"
#include "../../uapi/zcio.h"
