using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>Turns a status of NCCL into an exception.</summary>
internal static unsafe class CollectiveStatus
{
    /// <summary>The call goes on in the background.</summary>
    public const int InProgress = 7;

    /// <summary>Throws unless the call succeeded.</summary>
    /// <param name="status">What the call returned.</param>
    /// <param name="call">Its name.</param>
    /// <exception cref="CudaException">The call failed.</exception>
    public static void Check(int status, string call)
    {
        if (status == 0) return;
        string text = TextOf(status);
        throw new CudaException(call, text, null, $"{call} failed: {text}; the environment variable NCCL_DEBUG=WARN makes NCCL say more.");
    }

    /// <summary>What a status means, in NCCL's words.</summary>
    public static string TextOf(int status) => Marshal.PtrToStringUTF8((nint)CollectiveApi.GetErrorString(status)) ?? $"status {status}";
}
