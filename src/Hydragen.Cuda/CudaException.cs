namespace Hydragen.Cuda;

/// <summary>A call of the CUDA driver or of the run-time compiler failed.</summary>
public sealed class CudaException : Exception
{
    internal CudaException(string call, string status, string? kernel, string message)
        : base(message)
    {
        Call = call;
        Status = status;
        Kernel = kernel;
    }

    /// <summary>The function that failed.</summary>
    public string Call { get; }

    /// <summary>The name of its status, such as <c>CUDA_ERROR_INVALID_VALUE</c>.</summary>
    public string Status { get; }

    /// <summary>The kernel that was compiled, loaded or launched, if any.</summary>
    public string? Kernel { get; }
}
