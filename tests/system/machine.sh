#!/bin/bash
# machine.sh runs an emulated machine, from a root filesystem and with the kernel of
# a Debian release, until it is powered off.
#
# usage: CACHE=DIR tests/system/machine.sh SUITE[-arm64] IMAGE CONSOLE [ARGUMENT...]
#   ARGUMENT: of the kernel
set -eu
kernel=$("$(dirname "$(realpath "$0")")/kernel.sh" "$1") image=$2 console=$3
case $1 in
*-arm64) machine=(qemu-system-aarch64 -machine virt -cpu cortex-a72) terminal=ttyAMA0 ;;
*) machine=(qemu-system-x86_64 -machine q35 -cpu 'max,cx16=off') terminal=ttyS0 ;;
esac

timeout -k 5 "${LIMIT:-600}" "${machine[@]}" -accel tcg,thread=multi -smp 2 -m 768 \
	-display none -nodefaults -no-reboot -kernel "$kernel"/boot/vmlinuz-* \
	-append "root=/dev/nvme0n1 rw console=$terminal panic=-1 quiet loglevel=4 mitigations=off random.trust_cpu=on ${*:4}" \
	-drive "if=none,id=disk,file=$image,format=raw,cache=unsafe" -device nvme,drive=disk,serial=disk \
	-device virtio-rng-pci -serial "file:$console" </dev/null >"$console.qemu" 2>&1
