// SPDX-License-Identifier: GPL-2.0
/* The device is there and can be opened. */
#include <fcntl.h>
#include <unistd.h>

#include "kselftest_harness.h"

TEST(opens)
{
	int fd = open("/dev/zcio", O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, close(fd));
}

TEST_HARNESS_MAIN
