using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>A handle or descriptor of cuBLASLt.</summary>
internal sealed class LibraryObject : SafeHandle
{
    private readonly Func<nint, int> _destroy;

    /// <param name="value">What the library made.</param>
    /// <param name="destroy">Frees it; returns a status.</param>
    public LibraryObject(nint value, Func<nint, int> destroy)
        : base(0, ownsHandle: true)
    {
        _destroy = destroy;
        SetHandle(value);
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>The library's value.</summary>
    /// <exception cref="ObjectDisposedException">It was freed.</exception>
    public nint Value
    {
        get
        {
            ObjectDisposedException.ThrowIf(IsClosed, this);
            return handle;
        }
    }

    protected override bool ReleaseHandle() => _destroy(handle) == 0;
}
