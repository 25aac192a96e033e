using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>Turns a status of the driver into an exception.</summary>
internal static unsafe class DriverStatus
{
    private const int OutOfMemory = 2;

    /// <summary>Throws unless the call succeeded.</summary>
    /// <param name="status">What the call returned.</param>
    /// <param name="call">Its name.</param>
    /// <param name="kernel">The kernel that it was about, if any.</param>
    /// <exception cref="CudaException">The call failed.</exception>
    /// <exception cref="InsufficientMemoryException">The device has not enough memory.</exception>
    public static void Check(int status, string call, string? kernel = null)
    {
        if (status == 0) return;
        string name = $"status {status}", text = "";
        if (DriverApi.GetErrorName(status, out byte* namePointer) == 0) name = Marshal.PtrToStringUTF8((nint)namePointer) ?? name;
        if (DriverApi.GetErrorString(status, out byte* textPointer) == 0) text = $" ({Marshal.PtrToStringUTF8((nint)textPointer)})";
        string about = kernel is null ? "" : $" of kernel {kernel}";
        if (status == OutOfMemory) throw new InsufficientMemoryException($"{call}{about}: the GPU has not enough free memory.");
        throw new CudaException(call, name, kernel, $"{call}{about} failed: {name}{text}.");
    }
}
