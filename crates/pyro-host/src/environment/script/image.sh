# Makes a finished root file system out of a bootstrapped one, and the image out of that. Runs in a sandbox.
# Arguments: the root, the image to be written, a file made before anything else, the kernel's release, and the
# tree of its modules or nothing.
set -eu
root=$1 image=$2 stamp=$3 release=$4 modules=$5

# What concerned this build alone: how the mirror is reached (perhaps with a password), what the host is called.
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/apt/apt.conf.d/00mmdebstrap"
if [ -e "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" ]; then
    mv "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$root/etc/dpkg/dpkg.cfg.d/trimmed"
fi
sed -i -E 's#(://)[^/@ ]*@#\1#' "$root/etc/apt/sources.list"
rm -f "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/hosts" "$root/etc/machine-id"
: >"$root/etc/resolv.conf"
: >"$root/etc/machine-id"
echo localhost >"$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id"
for folder in dev proc sys run tmp; do
    find "$root/$folder" -xdev -mindepth 1 -delete
done

# Modules for `modprobe` in the guest: file systems, networks, containers. Not the drivers of hardware it lacks.
if [ -n "$modules" ]; then
    target=$root/usr/lib/modules/$release
    mkdir -p "$target/kernel/drivers/net" "$target/kernel/drivers/block"
    cp "$modules"/modules.builtin "$modules"/modules.builtin.modinfo "$modules"/modules.order "$target"
    for folder in crypto fs lib net drivers/md; do
        cp -r "$modules/kernel/$folder" "$target/kernel/$folder"
    done
    cp "$modules"/kernel/drivers/net/*.ko "$target/kernel/drivers/net"
    cp -r "$modules/kernel/drivers/net/wireguard" "$modules/kernel/drivers/net/vxlan" "$target/kernel/drivers/net"
    cp "$modules"/kernel/drivers/block/*.ko "$target/kernel/drivers/block"
    chroot "$root" depmod "$release"
fi

# The same packages shall give the same image: what was made just now gets the time of the newest packaged file,
# and passwords, all of them locked, lose the day of their last change. The times of packaged files stay: Python
# compares them with those in its compiled files.
sed -i -E 's/^([^:]*:[^:]*):[0-9]*:/\1::/' "$root/etc/shadow"
rm -f "$root/etc/shadow-" "$root/etc/passwd-" "$root/etc/group-" "$root/etc/gshadow-"
newest=$(find "$root" -xdev ! -newer "$stamp" -printf '%T@\n' | sort -n | tail -n 1)
newest=${newest%.*}
find "$root" -xdev -newer "$stamp" -exec touch --no-dereference --date="@$newest" {} +
touch --no-dereference --date="@$newest" "$root"

# Not compressed: unpacking costs the guest more than reading costs the host, most of all under emulation.
export SOURCE_DATE_EPOCH="$newest"
mkfs.erofs --quiet -U 00000000-0000-0000-0000-000000000000 "$image" "$root"

# Before anything is flushed to the disk, and here, where files of subordinate ids can be removed.
rm -rf "$root"
