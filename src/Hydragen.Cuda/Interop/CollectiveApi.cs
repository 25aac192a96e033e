using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>
/// The functions of NCCL that are used. They return a status; pass it to <see cref="CollectiveStatus.Check"/>. Ask
/// <see cref="NativeLibraries.HasCollectives"/> before the first call.
/// </summary>
internal static unsafe partial class CollectiveApi
{
    /// <summary>Addition.</summary>
    public const int Sum = 0;

    /// <summary>The type of numbers that have no <see cref="Hydragen.Core.ElementType"/>.</summary>
    public const int Int32 = 2;

    [LibraryImport(NativeLibraries.Collectives, EntryPoint = "ncclGetVersion")]
    public static partial int GetVersion(out int version);

    [LibraryImport(NativeLibraries.Collectives, EntryPoint = "ncclGetErrorString")]
    public static partial byte* GetErrorString(int status);

    [LibraryImport(NativeLibraries.Collectives, EntryPoint = "ncclGetUniqueId")]
    public static partial int GetUniqueId(out CollectiveId id);

    [LibraryImport(NativeLibraries.Collectives, EntryPoint = "ncclCommInitRank")]
    public static partial int InitRank(out nint communicator, int size, CollectiveId id, int rank);

    [LibraryImport(NativeLibraries.Collectives, EntryPoint = "ncclCommAbort")]
    public static partial int Abort(nint communicator);

    [LibraryImport(NativeLibraries.Collectives, EntryPoint = "ncclCommGetAsyncError")]
    public static partial int GetAsyncError(nint communicator, out int status);

    [LibraryImport(NativeLibraries.Collectives, EntryPoint = "ncclAllReduce")]
    public static partial int AllReduce(nint source, nint destination, nuint count, int type, int operation, nint communicator, nint stream);

    [LibraryImport(NativeLibraries.Collectives, EntryPoint = "ncclBroadcast")]
    public static partial int Broadcast(nint source, nint destination, nuint count, int type, int root, nint communicator, nint stream);

    /// <summary>Sets an environment variable where NCCL looks for it; what .NET sets, it does not see.</summary>
    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int SetVariable(string name, string value, int overwrite);
}
