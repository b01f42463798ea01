#!/bin/bash
# record_ipvs.sh: asks a Linux kernel with IPVS, User Mode Linux, what it does in the cases of ipvs_cases.py (four minutes),
# and writes recorded/ipvs-6.12.json. Needs ipvsadm, iptables, iproute2, busybox, python3 and Debian's package user-mode-linux,
# installed or unpacked in a folder that $UML names.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
uml=${UML:-}
[ -x "$uml/usr/bin/linux.uml" ] || { echo "record_ipvs.sh: no $uml/usr/bin/linux.uml" >&2; exit 1; }
job=$(mktemp -d)
trap 'rm -rf "$job"' EXIT
printf '#!/bin/sh\nexec /bin/busybox modprobe -q "$@"\n' >"$job/modprobe"
cat >"$job/init" <<END
#!/bin/bash
export PATH=/run/bin:$PATH:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmpfs /run; mkdir -p /run/netns /run/bin /lib/modules
mount -t tmpfs modules /lib/modules; ln -s "$uml/usr/lib/uml/modules/\$(uname -r)" /lib/modules/; ln -s /bin/busybox /run/bin/modprobe
for tool in iptables ip6tables; do ln -s /usr/sbin/xtables-legacy-multi /run/bin/\$tool; done
dmesg -n 1; ip link set lo up; sysctl -qw kernel.modprobe="$job/modprobe"
for module in bridge veth ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc xt_ipvs xt_nat xt_mark iptable_nat iptable_filter \\
    iptable_mangle ip6table_nat ip6table_filter ip6table_mangle ipt_REJECT; do modprobe \$module; done
cd "$here"; PYTHONDONTWRITEBYTECODE=1 python3 ipvs_agent.py >"$job/recorded" 2>"$job/errors" && touch "$job/done"
sync; busybox poweroff -f
END
chmod +x "$job/init" "$job/modprobe"
"$uml/usr/bin/linux.uml" mem=512M rootfstype=hostfs rw init="$job/init" con=null con0=fd:0,fd:1 </dev/null >"$job/console" 2>&1 || true
[ -e "$job/done" ] || { tail -20 "$job/console" "$job/errors"; exit 1; }
{ cat "$job/recorded"; echo; } >"$here/recorded/ipvs-6.12.json"
