/** What an appliance's descriptor says. */
export interface OvfOptions {
  /** Of the virtual machine. */
  name: string;
  /** The system's full name, for people. */
  title: string;
  /** The disk's file name beside the descriptor, that file's bytes, and the bytes of the disk in it. */
  disk: string;
  diskSize: number;
  capacity: number;
}

const CPUS = 2;
const MEMORY_MIB = 2048;

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? c);

interface Item {
  type: number;
  name: string;
  subtype?: string;
  quantity?: number;
  units?: string;
  more?: string;
}

/**
 * An OVF 1.1 descriptor (DMTF DSP0243) of one machine: two processors, 2 GiB, a paravirtual SCSI controller with the
 * disk, a network card. Numbers of resource types: CIM_ResourceAllocationSettingData. UEFI and BIOS are the
 * hypervisor's choice: BIOS, unless the person importing it says otherwise.
 */
export function ovfDescriptor({ name, title, disk, diskSize, capacity }: OvfOptions): string {
  const items: Item[] = [
    { type: 3, name: `${CPUS} processors`, quantity: CPUS, units: 'hertz * 10^6' },
    { type: 4, name: `${MEMORY_MIB} MiB of memory`, quantity: MEMORY_MIB, units: 'byte * 2^20' },
    { type: 6, name: 'SCSI controller', subtype: 'VirtualSCSI', more: '<rasd:Address>0</rasd:Address>' },
    {
      type: 17,
      name: 'Disk',
      more: '<rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/disk1</rasd:HostResource><rasd:Parent>3</rasd:Parent>',
    },
    {
      type: 10,
      name: 'Network card',
      subtype: 'VmxNet3',
      more: '<rasd:AutomaticAllocation>true</rasd:AutomaticAllocation><rasd:Connection>network</rasd:Connection>',
    },
  ];
  // The schema wants an item's elements in the order of their names.
  const element = (tag: string, text: string | number | undefined) =>
    text === undefined ? [] : [`<rasd:${tag}>${escaped(String(text))}</rasd:${tag}>`];
  const rendered = items.map((item, index) => {
    const parts = [
      ...element('AllocationUnits', item.units),
      ...element('ElementName', item.name),
      ...element('InstanceID', index + 1),
      ...element('ResourceSubType', item.subtype),
      ...element('ResourceType', item.type),
      ...element('VirtualQuantity', item.quantity),
      ...(item.more?.match(/<rasd:(\w+)>.*?<\/rasd:\1>/g) ?? []),
    ];
    return `      <Item>${parts.sort().join('')}</Item>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References>
    <File ovf:href="${escaped(disk)}" ovf:id="file1" ovf:size="${diskSize}"/>
  </References>
  <DiskSection>
    <Info>The disk</Info>
    <Disk ovf:capacity="${capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="disk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>The network</Info>
    <Network ovf:name="network"><Description>Any network with DHCP</Description></Network>
  </NetworkSection>
  <VirtualSystem ovf:id="${escaped(name)}">
    <Info>${escaped(title)}</Info>
    <Name>${escaped(name)}</Name>
    <OperatingSystemSection ovf:id="101">
      <Info>Linux, 64 bit</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>What the machine has</Info>
      <System>
        <vssd:ElementName>Virtual hardware</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>${escaped(name)}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType>
      </System>
${rendered.join('\n')}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
`;
}
