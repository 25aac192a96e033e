using System.Numerics;
using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>An array of the host in device memory, sent when its content has changed; the address changes only when it grows.</summary>
internal sealed class SentArray<T>(CudaDevice device) : IDisposable
    where T : unmanaged
{
    private const int MinLength = 256;

    private readonly DeviceScratch _memory = new(device);
    private T[] _content = [];
    private nint _address;
    private int _length = -1;

    /// <summary>Makes the device's array this one.</summary>
    /// <returns>Its address; aligned to 256.</returns>
    public unsafe nint Send(ReadOnlySpan<T> content)
    {
        if (content.Length == _length && MemoryMarshal.AsBytes(content).SequenceEqual(MemoryMarshal.AsBytes(_content.AsSpan(0, _length)))) return _address;
        _length = -1;
        if (_content.Length < content.Length) _content = new T[Math.Max(MinLength, (int)BitOperations.RoundUpToPowerOf2((uint)content.Length))];
        _address = _memory.Reserve((long)Math.Max(MinLength, _content.Length) * sizeof(T));
        device.Upload(_address, content);
        content.CopyTo(_content);
        _length = content.Length;
        return _address;
    }

    public void Dispose() => _memory.Dispose();
}
