namespace Hydragen.Cuda;

/// <summary>How fast a device works, as far as the division of work needs to know; only ratios of them matter.</summary>
/// <param name="NumMultiprocessors">Multiprocessors.</param>
/// <param name="Flops">Floating-point operations a second of the node kernel on one multiprocessor.</param>
/// <param name="Bytes">Bytes a second that all together read from memory.</param>
internal sealed record DeviceRates(int NumMultiprocessors, double Flops, double Bytes)
{
    // Products of a 16-bit type that a multiprocessor of Hopper starts in a cycle, times two; and which shares of that and of the memory's
    // peak the kernels reach (measured on an H200: 730 TFLOP/s, 4.4 TB/s).
    private const double FlopsPerCycle = 4096, ComputeShare = 0.69, MemoryShare = 0.90;

    /// <summary>From what the driver tells of a device.</summary>
    public static DeviceRates Of(int device)
    {
        int numMultiprocessors = CudaDevice.Attribute(device, DeviceAttribute.MultiprocessorCount), clock = CudaDevice.Attribute(device, DeviceAttribute.ClockKilohertz);
        int memoryClock = CudaDevice.Attribute(device, DeviceAttribute.MemoryClockKilohertz), busBits = CudaDevice.Attribute(device, DeviceAttribute.MemoryBusBits);
        return new DeviceRates(
            numMultiprocessors, Math.Max(1, clock) * 1e3 * FlopsPerCycle * ComputeShare, Math.Max(1, memoryClock) * 2e3 * Math.Max(8, busBits) / 8 * MemoryShare);
    }
}
