using System.Runtime.InteropServices;
using System.Text;

namespace Hydragen.Cuda;

/// <summary>One GPU: its facts, its context and the one stream on which everything runs in order.</summary>
internal sealed unsafe class CudaDevice : IDisposable
{
    private readonly int _device;
    private readonly UploadRing _uploads;
    private readonly MemoryUsage _usage = new();
    private bool _isDisposed;

    /// <param name="index">Which GPU.</param>
    /// <exception cref="CudaException">The driver refuses.</exception>
    public CudaDevice(int index)
    {
        DriverStatus.Check(DriverApi.DeviceGet(out _device, index), "cuDeviceGet");
        Name = NameOf(_device);
        ComputeCapability = ComputeCapabilityOf(_device);
        NumMultiprocessors = Attribute(_device, DeviceAttribute.MultiprocessorCount);
        MaxSharedBytes = Attribute(_device, DeviceAttribute.MaxSharedMemoryPerBlockOptin);
        L2Bytes = Attribute(_device, DeviceAttribute.L2CacheBytes);
        Rates = DeviceRates.Of(_device);
        Context = new PrimaryContext(_device);
        Context.MakeCurrent();
        Stream = new CudaStream(Context);
        _uploads = new UploadRing(this);
    }

    public string Name { get; }

    public Version ComputeCapability { get; }

    public int NumMultiprocessors { get; }

    /// <summary>Shared memory that one block may have.</summary>
    public int MaxSharedBytes { get; }

    /// <summary>How fast it works, for plans.</summary>
    public DeviceRates Rates { get; }

    /// <summary>Size of the last cache.</summary>
    public int L2Bytes { get; }

    public PrimaryContext Context { get; }

    public CudaStream Stream { get; }

    /// <summary>Whether what is put into the stream is captured, not run.</summary>
    public bool IsCapturing { get; set; }

    /// <summary>How often scratch memory has got another address; captured launches know the address of then.</summary>
    public long NumScratchChanges { get; set; }

    /// <summary>The most memory that may be allocated; what is free bounds it too.</summary>
    public long MaxBytes { get; set; } = long.MaxValue;

    /// <summary>Memory that is allocated here.</summary>
    public long AllocatedBytes => _usage.Bytes;

    /// <summary>Memory that can still be allocated.</summary>
    public long FreeBytes
    {
        get
        {
            MakeCurrent();
            DriverStatus.Check(DriverApi.MemGetInfo(out nuint free, out _), "cuMemGetInfo");
            return (long)free;
        }
    }

    public static int Attribute(int device, DeviceAttribute attribute)
    {
        DriverStatus.Check(DriverApi.DeviceGetAttribute(out int value, attribute, device), "cuDeviceGetAttribute");
        return value;
    }

    public static string NameOf(int device)
    {
        Span<byte> name = stackalloc byte[256];
        fixed (byte* pointer = name) DriverStatus.Check(DriverApi.DeviceGetName(pointer, name.Length, device), "cuDeviceGetName");
        return Encoding.UTF8.GetString(name[..name.IndexOf((byte)0)]);
    }

    public static Version ComputeCapabilityOf(int device) =>
        new(Attribute(device, DeviceAttribute.ComputeCapabilityMajor), Attribute(device, DeviceAttribute.ComputeCapabilityMinor));

    /// <summary>Makes this thread's calls mean this device.</summary>
    /// <exception cref="ObjectDisposedException">The device was given back.</exception>
    public void MakeCurrent()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        Context.MakeCurrent();
    }

    /// <summary>Allocates memory, uninitialised.</summary>
    /// <exception cref="InsufficientMemoryException">The device has not so much free memory.</exception>
    public DeviceMemory Allocate(long bytes)
    {
        MakeCurrent();
        if (IsCapturing) throw new InvalidOperationException($"{bytes} bytes of device memory were asked for while launches were captured.");
        if (bytes > MaxBytes - _usage.Bytes)
        {
            throw new InsufficientMemoryException(
                $"{Mebibytes(bytes)} MiB of GPU memory are needed, but of at most {Mebibytes(MaxBytes)} MiB {Mebibytes(_usage.Bytes)} are in use.");
        }
        try
        {
            return new DeviceMemory(Context, Math.Max(1, bytes), _usage);
        }
        catch (InsufficientMemoryException exception)
        {
            throw new InsufficientMemoryException($"{Mebibytes(bytes)} MiB of GPU memory are needed, but {Mebibytes(FreeBytes)} MiB are free.", exception);
        }
    }

    /// <summary>Copies to the device, in stream order; the source may be reused at once. Small copies do not wait for the device.</summary>
    public void Upload<T>(nint destination, ReadOnlySpan<T> source)
        where T : unmanaged
    {
        if (source.IsEmpty) return;
        MakeCurrent();
        if (IsCapturing) throw new InvalidOperationException("Data was sent to the device while launches were captured.");
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(source);
        if (bytes.Length <= UploadRing.MaxBytes)
        {
            Span<byte> staging = _uploads.Take(bytes.Length);
            bytes.CopyTo(staging);
            bytes = staging;
        }
        fixed (byte* pointer = bytes) UploadPinned(destination, pointer, bytes.Length);
    }

    /// <summary>Copies pinned memory to the device, in stream order; the source must stay as it is until the copy is done.</summary>
    public void UploadPinned(nint destination, byte* source, long bytes) =>
        DriverStatus.Check(DriverApi.MemcpyHostToDevice(destination, source, (nuint)bytes, Stream.Value), "cuMemcpyHtoDAsync");

    /// <summary>Copies from the device after all work before it, and waits for that.</summary>
    public void Download<T>(Span<T> destination, nint source)
        where T : unmanaged
    {
        if (destination.IsEmpty) return;
        MakeCurrent();
        fixed (T* pointer = destination)
        {
            DriverStatus.Check(
                DriverApi.MemcpyDeviceToHost(pointer, source, (nuint)destination.Length * (nuint)sizeof(T), Stream.Value), "cuMemcpyDtoHAsync");
            Synchronize();
        }
    }

    /// <summary>Copies from the device to pinned memory after all work before it; does not wait.</summary>
    public void DownloadPinned(byte* destination, nint source, long bytes)
    {
        MakeCurrent();
        DriverStatus.Check(DriverApi.MemcpyDeviceToHost(destination, source, (nuint)bytes, Stream.Value), "cuMemcpyDtoHAsync");
    }

    /// <summary>Copies within the device, in stream order.</summary>
    public void Copy(nint destination, nint source, long bytes)
    {
        MakeCurrent();
        DriverStatus.Check(DriverApi.MemcpyDeviceToDevice(destination, source, (nuint)bytes, Stream.Value), "cuMemcpyDtoDAsync");
    }

    /// <summary>Sets memory to zero, in stream order.</summary>
    public void Clear(DeviceMemory memory) => Fill(memory, 0);

    /// <summary>Sets every byte, in stream order.</summary>
    public void Fill(DeviceMemory memory, byte value)
    {
        MakeCurrent();
        DriverStatus.Check(DriverApi.MemsetBytes(memory.Value, value, (nuint)memory.Bytes, Stream.Value), "cuMemsetD8Async");
    }

    /// <summary>Waits for all work; an error of an earlier kernel shows here.</summary>
    public void Synchronize()
    {
        MakeCurrent();
        DriverStatus.Check(DriverApi.StreamSynchronize(Stream.Value), "cuStreamSynchronize");
    }

    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        _uploads.Dispose();
        Stream.Dispose();
        Context.Dispose();
    }

    private static long Mebibytes(long bytes) => (bytes + (1 << 20) - 1) >> 20;
}
