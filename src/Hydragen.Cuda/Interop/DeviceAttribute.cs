namespace Hydragen.Cuda;

/// <summary>The device attributes that are asked for, with the driver's numbers.</summary>
internal enum DeviceAttribute
{
    MultiprocessorCount = 16,
    L2CacheBytes = 38,
    ComputeCapabilityMajor = 75,
    ComputeCapabilityMinor = 76,
    MaxSharedMemoryPerBlockOptin = 97,
}
