#!/bin/sh
# room.sh FOLDER ADDRESSES: runs FOLDER/steps.sh in the namespaces that unshare made, as in a pod of its own, and leaves what
# the kernel has then in FOLDER/kernel. FOLDER/resolv.conf and FOLDER/passwd lie in /etc. ADDRESSES, such as
# 10.3.3.3/24,2001:db8::5/64, are those of eth0.
set -e
folder=$1 addresses=$2
mount --bind "$folder/resolv.conf" /etc/resolv.conf
mount --bind "$folder/passwd" /etc/passwd
ip link set lo up
ip link add eth0 type veth peer name eth0-peer # an interface without a carrier does not count
for address in $(echo "$addresses" | tr , ' '); do
  case $address in
  *:*) ip address add "$address" dev eth0 nodad ;;
  *) ip address add "$address" dev eth0 ;;
  esac
done
ip link set eth0 up
ip link set eth0-peer up
sh "$folder/steps.sh"
[ -e "$folder/kernel" ] || exit 0
{
  echo "== iptables"
  iptables-nft-save
  ip6tables-nft-save
  echo "== iptables-legacy"
  iptables-legacy-save
  ip6tables-legacy-save
  echo "== nftables"
  nft --stateless list ruleset inet
  echo "== routing rules"
  ip -4 rule
  ip -6 rule
  echo "== routes"
  ip -4 route show table all type local default || true
  ip -6 route show table all type local default || true
  echo "== addresses"
  ip -6 -oneline address show dev lo
} 2>&1 | grep -v '^#' | sed 's/ *\[[0-9]*:[0-9]*\]//; s/ tentative//' >"$folder/kernel"
