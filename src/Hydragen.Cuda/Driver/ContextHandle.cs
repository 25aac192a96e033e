using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>Something that lives in a context and keeps it alive.</summary>
internal abstract class ContextHandle(PrimaryContext context) : SafeHandle(0, ownsHandle: true)
{
    private bool _holdsContext;

    public override bool IsInvalid => handle == 0;

    /// <summary>The driver's value.</summary>
    /// <exception cref="ObjectDisposedException">It was freed.</exception>
    public nint Value
    {
        get
        {
            ObjectDisposedException.ThrowIf(IsClosed, this);
            return handle;
        }
    }

    /// <summary>Takes over what the driver made.</summary>
    protected void Own(nint value)
    {
        context.DangerousAddRef(ref _holdsContext);
        SetHandle(value);
    }

    /// <summary>Frees the handle in the driver; the context is current.</summary>
    /// <returns>The driver's status.</returns>
    protected abstract int Free(nint value);

    protected override bool ReleaseHandle()
    {
        bool isFree = DriverApi.CtxSetCurrent(context.DangerousGetHandle()) == 0 && Free(handle) == 0;
        if (_holdsContext) context.DangerousRelease();
        return isFree;
    }
}
