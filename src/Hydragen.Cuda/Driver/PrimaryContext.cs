using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>A share in the primary context of a device, which all libraries of a process have in common.</summary>
internal sealed class PrimaryContext : SafeHandle
{
    private readonly int _device;

    public PrimaryContext(int device)
        : base(0, ownsHandle: true)
    {
        DriverStatus.Check(DriverApi.DevicePrimaryCtxRetain(out nint context, device), "cuDevicePrimaryCtxRetain");
        _device = device;
        SetHandle(context);
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>Makes the calls of this thread mean this context.</summary>
    public void MakeCurrent()
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        DriverStatus.Check(DriverApi.CtxSetCurrent(handle), "cuCtxSetCurrent");
    }

    protected override bool ReleaseHandle() => DriverApi.DevicePrimaryCtxRelease(_device) == 0;
}
