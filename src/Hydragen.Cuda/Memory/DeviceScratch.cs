namespace Hydragen.Cuda;

/// <summary>Memory of a device that grows when it has to and keeps no content.</summary>
internal sealed class DeviceScratch(CudaDevice device) : IDisposable
{
    private DeviceMemory? _memory;

    /// <summary>An address with room for so many bytes; aligned to 256.</summary>
    public nint Reserve(long bytes)
    {
        if (_memory is null || _memory.Bytes < bytes)
        {
            _memory?.Dispose();
            _memory = null;
            device.NumScratchChanges++;
            _memory = device.Allocate(bytes);
        }
        return _memory.Value;
    }

    public void Dispose() => _memory?.Dispose();
}
