using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>Turns a status of cuBLASLt into an exception.</summary>
internal static unsafe class MatrixStatus
{
    private const int AllocationFailed = 3;

    /// <summary>Throws unless the call succeeded.</summary>
    /// <param name="status">What the call returned.</param>
    /// <param name="call">Its name.</param>
    /// <param name="product">The product that it was about, if any.</param>
    /// <exception cref="CudaException">The call failed.</exception>
    /// <exception cref="InsufficientMemoryException">There is not enough memory.</exception>
    public static void Check(int status, string call, string? product = null)
    {
        if (status == 0) return;
        string about = product is null ? "" : $" of {product}";
        if (status == AllocationFailed) throw new InsufficientMemoryException($"{call}{about}: there is not enough memory.");
        string name = Marshal.PtrToStringUTF8((nint)MatrixApi.GetStatusName(status)) ?? $"status {status}";
        throw new CudaException(call, name, product, $"{call}{about} failed: {name}.");
    }
}
