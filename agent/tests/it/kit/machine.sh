#!/bin/busybox sh
# What the virtual machine does after its kernel is up: run the tests, then switch itself off.
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /mnt /etc
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/sbin:/usr/bin:/bin HOME=/tmp RUST_BACKTRACE=0 BERTH_TEST_PATIENCE_S=240
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=1200m tmp /tmp
mount -t tmpfs run /run
ln -sf /proc/self/mounts /etc/mtab
for module in @MODULES@; do insmod "/$module" 2>/dev/null; done
ip link set lo up
echo "the tests inside begin"
cd /tmp && "@TESTS@" @FILTER@ --test-threads=1 2>&1
echo "the tests inside ended with $?"
poweroff -f
