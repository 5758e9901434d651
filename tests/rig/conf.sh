# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# What the rig is made of: the one place for versions, suites and names.

# Kernel lines the module supports and the distribution offers, newest first.
supported_lines="7.3 7.2"

# The distribution release the root is made from, and its suite of newer kernels.
suite=trixie
backports=trixie-backports

# Suffix of the kernel packages, a regular expression ("7.3.4" + "+deb13-amd64").
flavour='\+deb[0-9]+-amd64'

# Raise it when the way a kernel's folder is made changes: the folders are then made again.
kernel_recipe=1

# Modules the guest needs before it can see its root file system.
boot_modules="virtio_pci virtio_console 9pnet_virtio 9p overlay"

# Files whose absence means that the root is broken; looked at on every run.
root_key_files="usr/bin/bash usr/bin/apt-get usr/bin/dpkg usr/bin/gcc-14 usr/bin/make
 usr/bin/rustc usr/bin/cargo usr/bin/bindgen usr/bin/python3 usr/bin/busybox
 usr/bin/qemu-system-x86_64 usr/sbin/modprobe usr/sbin/ip usr/share/cargo/registry"
